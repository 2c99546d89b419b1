"""The type checker that executes every shape annotation while the tests run."""

from beartype import BeartypeConf, beartype

# An int is a float, as PEP 484 says and everybody writes.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
