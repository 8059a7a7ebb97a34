"""JetStream error codes that the commit protocol knows, and the answers of the server read into them."""

WRONG_LAST_SEQUENCE = 10071
WRONG_LAST_SEQUENCE_CONSTANT = 10164
STORE_FAILED = 10077  # the subject or the stream is full (discard=new)
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
NO_MESSAGE = 10037
DUPLICATE_IN_BATCH = 10201  # an atomic batch holds a message id that is known already
