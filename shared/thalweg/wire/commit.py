"""The commit record: what a vertex says with every write; it travels in one message header as compact JSON."""

from __future__ import annotations

import msgspec

HEADER = "Tw-Commit"
CHUNK_HEADER = "Tw-Chunk"  # "index/count", index from 1; the pieces of one message body in order
END_OF_TIME = 2**63 - 1  # the watermark of an ended stream


class Counters(msgspec.Struct, omit_defaults=True):
    """Cumulative counts of a vertex since its deployment began."""

    records_in: int = 0
    records_out: int = 0
    filtered: int = 0
    dead: int = 0
    late: int = 0
    errors: int = 0
    bytes_out: int = 0
    dropped: int = 0  # by a live source, for want of room
    redriven: int = 0  # dead letters that were given again
    given_up: int = 0  # and those that were dropped by hand

    @property
    def open_letters(self) -> int:
        """Dead letters about which nothing was done."""
        return max(0, self.dead - self.redriven - self.given_up)


class OpenBlock(msgspec.Struct, array_like=True):
    """The block of a port's digest that is not full yet: the chain before it (hex), event times (ns), values (base64 of msgpack)."""

    chain: str
    times: list[int]
    values: str


class PortDigest(msgspec.Struct, array_like=True):
    """Records written to a port so far, the digest over them (hex, see `thalweg.wire.digest`), the progress time of the last one."""

    count: int
    digest: str
    progress: int = -(2**63)
    block: OpenBlock | None = None


class Failure(msgspec.Struct, omit_defaults=True):
    """Why a vertex stopped its deployment: one line, a dotted code, and where in which input it was."""

    message: str
    code: str
    hint: str | None = None


class Generated(msgspec.Struct):
    """A generated file that a vertex left in the store."""

    name: str
    artifact: str
    size_bytes: int


class Commit(msgspec.Struct, omit_defaults=True):
    """Everything a commit says beside its records.

    Attributes:
        epoch: claim number; higher ones fence lower ones out.
        number: commit number within the deployment, from 1.
        positions: edge key (`EdgeSpec.key`) -> what to read next: (stream sequence, records to skip in that message).
        floor: as `positions`, where a rebuild would start to read; None where it is the same.
        cursor: a source's own cursor, msgpack; None for others.
        watermark: event time in ns up to which this vertex has worked; END_OF_TIME when it has ended.
        promise: no record that follows on any port has a lower progress time; None where that is the watermark.
        time_ns: event time of the last record, where emissions that no record causes may take it over.
        waits_for: key of the edge that has brought nothing for a while, though others have records that can only be worked on after it.
        ended: nothing follows on any port.
        dead_commits: how many commits so far had dead letters about which something is still to be done.
        generation: `VertexSpec.generation` of the writer.
        drained: a source was asked to end before its end.
        target: who took the last record of a sink that gives receipts.
        rewound: the generation in which the vertex last went back (`thalweg.wire.rewind`); 0: it never did.
        taken: by a vertex that takes several inputs as they come, in this commit, one stretch after the other: (edge, by its place in
            `positions`; how many of its records).
        missing: slots of generated files that the component has not written.
        undeclared: what it wrote beside them.
        retired: the generation in which the partition was retired (`VertexSpec.retired`): nothing follows; 0: it was not.
    """

    epoch: int
    number: int
    positions: dict[str, tuple[int, int]] = {}
    floor: dict[str, tuple[int, int]] | None = None
    cursor: str | None = None  # base64 of msgpack
    watermark: int = -(2**63)
    promise: int | None = None
    time_ns: int = 0
    waits_for: str | None = None
    ended: bool = False
    claim: bool = False
    counters: Counters = msgspec.field(default_factory=Counters)
    dead_commits: int = 0
    ports: dict[str, PortDigest] = {}
    generated: dict[str, Generated] = {}
    failure: Failure | None = None
    generation: int = 1
    drained: bool = False
    missing: list[str] = []
    undeclared: list[str] = []
    rewound: int = 0
    taken: list[tuple[int, int]] = []
    target: str = ""
    retired: int = 0

    @property
    def promised(self) -> int:
        """What readers may count on; see `promise`."""
        return self.watermark if self.promise is None else self.promise


_decoder = msgspec.json.Decoder(Commit)
_encoder = msgspec.json.Encoder()


def encode_commit(commit: Commit) -> str:
    """Header value of a commit: compact JSON without line breaks."""
    return _encoder.encode(commit).decode()


def decode_commit(text: str) -> Commit:
    """Inverse of `encode_commit`. Raises msgspec.ValidationError on anything else."""
    return _decoder.decode(text)
