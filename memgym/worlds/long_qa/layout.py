"""Which chunk tells which statement, for a stream of any length."""

from collections.abc import Sequence

from memgym.worlds.long_qa.plan import Statement

__all__ = ["Layout", "least_words"]


class Layout:
    """The chunks of a stream: their sizes, their rounds, and the statements of each.

    Statements keep their order. Where a chunk is full, the next ones move on to later chunks of the same
    round, and where there are none, back to earlier ones; `least_words` is what it takes for all to fit.

    Args:
        statements: all of the stream.
        num_words: of the stream.
        chunk_words: of each chunk but the last.
        num_rounds: equal parts of the stream, at least one chunk each.

    Raises:
        ValueError: not all fit.
    """

    def __init__(
        self, statements: Sequence[Statement], num_words: int, chunk_words: int, num_rounds: int
    ) -> None:
        self.num_words, self.chunk_words = num_words, chunk_words
        self.num_chunks = -(-num_words // chunk_words)
        self.ends = [(part + 1) * self.num_chunks // num_rounds for part in range(num_rounds)]
        self.statements: dict[int, list[Statement]] = {}  # chunk -> what it tells, in order
        rounds: list[list[Statement]] = [[] for _ in range(num_rounds)]
        for statement in sorted(statements):
            rounds[statement.round].append(statement)
        start = 0
        for part, (told, end) in enumerate(zip(rounds, self.ends, strict=True)):
            wanted = [self._wanted(one.place * num_rounds - part, start, end) for one in told]
            for statement, chunk in zip(told, self._fit(told, wanted, start, end), strict=True):
                self.statements.setdefault(chunk, []).append(statement)
            start = end

    def size(self, chunk: int) -> int:
        """Words of a chunk."""
        return min(self.chunk_words, self.num_words - chunk * self.chunk_words)

    @staticmethod
    def _wanted(share: float, start: int, end: int) -> int:
        """The chunk at a share of the way from `start` to `end`."""
        return min(max(start, start + int(share * (end - start))), end - 1)

    def _fit(self, told: Sequence[Statement], wanted: list[int], start: int, end: int) -> list[int]:
        words = [len(statement.text.split()) for statement in told]
        room = {chunk: self.size(chunk) for chunk in {*wanted, start, end - 1}}
        chunks: list[int] = []
        at = start
        for size, chunk in zip(words, wanted, strict=True):
            at = max(at, chunk)
            while at < end and room.setdefault(at, self.size(at)) < size:
                at += 1
            chunks.append(at)
            if at < end:
                room[at] -= size
        # what went over the end, back from the end; what stood there makes room
        room = {}
        limit = end - 1
        for i in range(len(chunks) - 1, -1, -1):
            limit = min(limit, chunks[i])
            while room.setdefault(limit, self.size(limit)) < words[i]:
                limit -= 1
                if limit < start:
                    raise ValueError("num_words is too small for the statements of a round.")
            room[limit] -= words[i]
            chunks[i] = limit
        return chunks


def least_words(words: int, longest: int, chunk_words: int, num_rounds: int) -> int:
    """The smallest stream whose every round takes statements of `words` words in all.

    Args:
        words: of the statements of one round.
        longest: words of the longest statement; a chunk may have as many less one left when it refuses one.
        chunk_words: of each chunk but the last.
        num_rounds: equal parts of the stream.
    """
    in_chunk = chunk_words - longest + 1
    chunks, rest = divmod(words, in_chunk)
    rest = rest + longest - 1 if rest else 0
    if num_rounds == 1:
        return chunks * chunk_words + rest
    return num_rounds * (chunks + (rest > 0)) * chunk_words
