"""How long a suggestion takes among 50,000 public models: `make crowd` prints it."""

import random
import statistics
import time

from bot.domain.catalogue import Catalogue, PublicModel

ROWS, TRIES = 50_000, 50
_WORDS = (
    "stable",
    "anime",
    "realistic",
    "dream",
    "photo",
    "turbo",
    "flux",
    "vision",
    "juggernaut",
    "comic",
    "mix",
)
TYPED = {
    "nothing": "",
    "a letter": "a",
    "a word": "turbo",
    "two words": "vision anime",
    "a typo": "juggrnaut",
    "two typos": "relistic vison",
    "nothing like it": "zzzzzzzz",
}


def main() -> None:
    chance = random.Random(7)  # noqa: S311  # the same models each time
    rows = []
    for number in range(ROWS):
        words = chance.choices(_WORDS, k=chance.randint(1, 4))
        rows.append(
            PublicModel(f"{'-'.join(words)}-{number}", " ".join(words).title(), chance.randrange(10**6))
        )
    began = time.perf_counter()
    catalogue = Catalogue(rows)
    print(f"\n{ROWS:,} public models, made searchable in {time.perf_counter() - began:.2f} s, in a thread")  # noqa: T201
    for what, typed in TYPED.items():
        took = []
        for _ in range(TRIES):
            began = time.perf_counter()
            catalogue.search(typed, 50)
            took.append(1000 * (time.perf_counter() - began))
        line = f"{statistics.median(took):.2f} ms, at most {max(took):.2f} ms"
        print(f"a suggestion for {what}: median {line} of {TRIES}")  # noqa: T201


if __name__ == "__main__":
    main()
