"""Lists that are read from the source say what the objects say."""

from crosstask.cli.declared import architectures, datasets
from crosstask.data.datasets.catalogue import READERS
from crosstask.data.datasets.procedural import LENGTHS, ProceduralStreets
from crosstask.models.registry import ARCHITECTURES


def test_architectures_in_the_order_of_the_registry() -> None:
    expected = [(name, architecture.summary) for name, architecture in ARCHITECTURES.items()]
    assert list(architectures().items()) == expected


def test_every_reader_with_its_facts() -> None:
    *rows, streets = datasets()
    assert {row["name"] for row in rows} == set(READERS)
    for row in rows:
        reader = READERS[row["name"]]
        assert row["modalities"] == list(reader.supported)
        assert row["splits"] == {split: reader.official.get(split) for split in reader.splits}
        assert (row["homepage"], row["licence"]) == (reader.homepage, reader.licence)
    assert streets["name"] == ProceduralStreets.source and streets["splits"] == dict(LENGTHS)
    assert streets["modalities"] == list(ProceduralStreets.supported)
