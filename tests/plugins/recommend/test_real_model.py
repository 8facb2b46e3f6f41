"""The real default model behind the plugin: texts of the demonstration catalogue are ranked by interest."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from parlance.errors import ParlanceError
from parlance.settings import load_settings
from parlance_recommend.catalogue.item import FieldNames, item_of
from parlance_recommend.demo.loading import demo_items
from parlance_recommend.ranking.popularity import Popularity
from parlance_recommend.ranking.profile import Profile
from parlance_recommend.ranking.score import score
from parlance_recommend.ranking.space import fit_space
from parlance_recommend.ranking.writing import writing_of
from parlance_recommend.settings import RecommendSettings

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("models")]

CHINESE = ["茶叶", "美食", "户外", "编程", "理财", "园艺"]
ENGLISH = ["cooking", "outdoors", "programming", "money", "garden", "music"]
SAME = {"美食": "cooking", "户外": "outdoors", "编程": "programming", "理财": "money", "园艺": "garden"}


class Shelf:
    """The catalogue with real vectors."""

    def __init__(self, vectors: np.ndarray) -> None:
        items = [item_of(identity, fields, {}, NAMES) for identity, fields in demo_items()]
        self.ids = [item.id for item in items]
        self.topics = [item.categories[0] for item in items]
        writings = np.asarray([writing_of(item.text) for item in items])
        self.vectors = fit_space(vectors, writings, strength=RecommendSettings().whitening).project(vectors, writings)

    def ranked(self, *history: str) -> list[str]:
        """All other items for somebody who clicked these."""
        rows = [self.ids.index(one) for one in history]
        profile = Profile(tuple(history), np.ones(len(rows)), self.vectors[rows], float(len(rows)))
        nothing = Popularity(half_life_days=0, prior=10).popularity(self.ids)
        scored = score(
            profile, self.vectors, popularity=nothing, quality=nothing, weights=RecommendSettings().weights()
        )
        return [self.ids[row] for row in scored.order if self.ids[row] not in history]

    def topic(self, identity: str) -> str:
        topic = self.topics[self.ids.index(identity)]
        return SAME.get(topic, topic)

    def share(self, wanted: list[str]) -> float:
        """How often the first item for somebody who clicked two of a topic is of that topic."""
        hits = []
        for topic in wanted:
            of_topic = [one for one, its in zip(self.ids, self.topics, strict=True) if its == topic]
            for first, second in pairwise(of_topic):
                hits.append(self.topic(self.ranked(first, second)[0]) == SAME.get(topic, topic))
        return float(np.mean(hits))


settings = RecommendSettings()
NAMES = FieldNames(
    title=settings.title_fields, description=settings.description_fields, categories=settings.category_fields
)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Encoded once."""
    from parlance.app import build

    folder: Path = tmp_path_factory.mktemp("shelf")
    app = build(load_settings(flags={"database.url": f"sqlite:///{folder / 'x.sqlite'}"}))

    async def encode() -> np.ndarray:
        texts = [item_of(identity, fields, {}, NAMES).text for identity, fields in demo_items()]
        await app.engine.start(eager=False)
        try:
            return (await app.engine.embed(texts, model=settings.model)).vectors
        finally:
            await app.engine.close()
            await app.close()

    try:
        app.registry.resolve(settings.model)
    except ParlanceError as error:
        pytest.skip(f"{settings.model} is not built: {error}")
    return Shelf(asyncio.run(encode()))


@pytest.mark.parametrize(("language", "topics"), [("English", ENGLISH), ("Chinese", CHINESE)])
def test_the_first_item_is_of_the_topic_that_was_clicked(shelf: Shelf, language: str, topics: list[str]) -> None:
    assert shelf.share(topics) >= 0.9, language


def test_an_interest_shown_in_one_language_reaches_the_other(shelf: Shelf) -> None:
    english = [one for one in shelf.ranked("hike-huangshan", "hike-shoes") if writing_of(one) == 0]
    assert shelf.topic(english[0]) == "outdoors"
    hikers = shelf.ranked("trail-maps", "hut-routes")
    assert hikers.index("hike-huangshan") < min(hikers.index(one) for one in ("tea-puer", "fund-rate", "cook-mapo"))
