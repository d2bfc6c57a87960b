"""Which instructions are taken when there are more than wanted: balanced, by a hash, so that the order of the input plays no part."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from tasks.schema.records import Instruction


def draw(pool: Sequence[Instruction], *, count: int, seed: int) -> list[Instruction]:
    """At most `count` of `pool`, by id. One after the other from each language and octave of asked length while there are any left.

    Within a group the order is that of sha256(seed, id).
    """
    groups: dict[tuple[str, int], list[Instruction]] = defaultdict(list)
    for instruction in pool:
        groups[instruction.language, instruction.words.bit_length()].append(instruction)
    for members in groups.values():
        members.sort(key=lambda instruction: _rank(seed, instruction.id))
    turns = [(turn, _rank(seed, member.id), member) for members in groups.values() for turn, member in enumerate(members)]
    return sorted((member for _, _, member in sorted(turns, key=lambda entry: entry[:2])[:count]), key=lambda member: member.id)


def _rank(seed: int, identity: str) -> str:
    return sha256(f"{seed}:{identity}".encode()).hexdigest()
