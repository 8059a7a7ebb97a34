"""JetStream error codes that the commit protocol knows."""

WRONG_LAST_SEQUENCE = 10071
WRONG_LAST_SEQUENCE_CONSTANT = 10164  # something is on its way to the subject: whether it will be stored is not known yet
STORE_FAILED = 10077  # the subject or the stream is full (discard=new)
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
NO_MESSAGE = 10037
DUPLICATE_IN_BATCH = 10201  # an atomic batch holds a message id that is known already
ID_IN_PROCESS = 10158  # a message of this id is on its way: whether it will be stored is not known yet
INCOMPLETE_BATCH = 10176  # a new leader knows nothing of a batch that was begun at the old one
REPLICAS_NOT_SUPPORTED = 10074
NO_PEERS = 10005  # a new stream needs as many servers as it has replicas, all of them running

# What a cluster says while it has no leader, or one that is not ready: nothing was decided, and asking again will do.
TEMPORARY = frozenset({10004, 10007, 10008, 10009, 10163})
