"""Names for containers that got none: an adjective and the surname of somebody who built or studied things."""

from __future__ import annotations

import random
from collections.abc import Callable

ADJECTIVES = (
    "amber ample arctic brave breezy bright brisk calm candid cheerful clever coastal cordial cosmic crisp curious "
    "daring deft dreamy eager early earnest easy elated epic fair fearless festive fluent frank fresh gallant gentle "
    "glad golden graceful grand happy hardy honest humble iron jolly jovial keen kind lively loyal lucid lucky mellow "
    "merry mighty modest neat nimble noble open patient placid plucky polite proud quick quiet radiant rapid ready "
    "robust rustic serene sharp silent silver sincere smooth snug solid spry stable steady stoic sturdy sunny swift "
    "tender tidy tranquil trusty upbeat valiant vivid warm weathered wise witty zesty"
).split()

SURNAMES = (
    "abel agnesi allen antonelli archimedes ardinghelli babbage bardeen bartik bell bernoulli bohr boole bose brahmagupta "
    "brattain brunel cannon carson cartwright cerf chandrasekhar clarke codd cray curie darwin dijkstra easley edison "
    "eiffel einstein elion engelbart euclid euler faraday fermat fermi feynman franklin galileo gauss germain goldberg "
    "goodall hamilton hawking heisenberg hermann hertz hodgkin hoover hopper hypatia jackson jennings johnson joliot "
    "kalam kapitsa keldysh kepler khorana kilby knuth kowalevski lamarr lamport leakey leavitt lovelace lumiere maxwell "
    "mayer mccarthy meitner mendel mendeleev mirzakhani morse murdock napier newton nightingale nobel noether noyce "
    "pascal pasteur payne perlman pike poincare ramanujan ride ritchie roentgen rosalind saha sammet shannon shockley "
    "sinoussi stallman stephenson swartz swirles telford tesla thompson torvalds turing varahamihira visvesvaraya volhard "
    "watt wiles williams wilson wing wozniak wright yalow yonath"
).split()


def generate_name(is_taken: Callable[[str], bool]) -> str:
    """A name that is not taken; with a number at its end when the plain ones run out."""
    for attempt in range(1000):
        name = f"{random.choice(ADJECTIVES)}_{random.choice(SURNAMES)}"
        if attempt > 5:
            name += str(random.randrange(10 ** min(attempt // 3, 9)))
        if not is_taken(name):
            return name
    raise RuntimeError("no free container name")
