"""The domain by itself: times, drafts, keys, counters, buckets, rules, evidence, messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlance.errors import ModelError, ValidationFailed
from parlance.tasks import Classification, Origin
from parlance_sentiment.alerts import (
    Alert,
    DrivingDocument,
    alert_message,
    evidence_of,
    fingerprint_of,
    what_would_stop,
)
from parlance_sentiment.documents import DraftLimits, check_key, keys_of, labelling_from, make_draft, parse_time
from parlance_sentiment.rules import Observation, ThresholdRule, Verdict, judge, rule_version
from parlance_sentiment.settings import SentimentSettings
from parlance_sentiment.trends import Tally, floor_time, next_time, roll_up

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
LIMITS = DraftLimits(text_chars=100, latest=NOW)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def seen(negative: int, other: int) -> Observation:
    return Observation(key="company:A", start=NOW - timedelta(hours=6), end=NOW, negative=negative, neutral=other)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-03-02T09:17:00Z", datetime(2026, 3, 2, 9, 17, tzinfo=UTC)),
            ("2026-03-02T17:17:00+08:00", datetime(2026, 3, 2, 9, 17, tzinfo=UTC)),
            (" 2026-03-02 ", datetime(2026, 3, 2, tzinfo=UTC)),
            ("20260302", datetime(2026, 3, 2, tzinfo=UTC)),
        ],
    )
    def test_iso_8601_with_a_zone_and_dates_alone_are_read(self, text: str, moment: datetime) -> None:
        assert parse_time(text, field="published_at") == moment

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("yesterday", "no date or time: 'yesterday'"),
            ("2026-02-30", "no date or time"),
            ("2026-03-02T09:17:00", "without a zone"),
            ("0001-01-01T00:00:00+14:00", "outside the years 1900 to 9989"),
            ("", "no date or time"),
        ],
    )
    def test_what_is_no_moment_is_refused_by_name(self, text: str, says: str) -> None:
        with pytest.raises(ValidationFailed, match=says) as caught:
            parse_time(text, field="published_at")
        assert caught.value.code == "bad_time"
        assert caught.value.facts["field"] == "published_at"

    @given(st.text(max_size=40))
    def test_any_text_is_a_moment_or_a_validation_error(self, text: str) -> None:
        try:
            moment = parse_time(text, field="from")
        except ValidationFailed:
            return
        assert moment.tzinfo is UTC


class TestDrafts:
    def test_a_document_without_id_is_known_by_its_content(self) -> None:
        first = make_draft(limits=LIMITS, text="Profit rose", source="Wire")
        again = make_draft(limits=LIMITS, text="Profit rose ", source=" Wire")
        other = make_draft(limits=LIMITS, text="Profit rose", source="Ledger")
        assert first.id == again.id
        assert first.id != other.id
        assert first.id.startswith("sha256-")

    def test_names_are_normalised_so_that_full_width_letters_are_the_same_company(self) -> None:
        draft = make_draft(limits=LIMITS, text="好", companies=["ＡＣＭＥ  Corp", "ACME Corp", "星澜科技"])
        assert draft.companies == ("ACME Corp", "星澜科技")

    @pytest.mark.parametrize(
        ("change", "code", "field"),
        [
            ({"text": "  \n"}, "empty_text", "text"),
            ({"text": "x" * 101}, "text_too_long", "text"),
            ({"text": "a\x00b"}, "bad_text", "text"),
            ({"text": "a\ud800b"}, "bad_text", "text"),
            ({"id": " a"}, "bad_id", "id"),
            ({"id": ""}, "bad_id", "id"),
            ({"companies": [""]}, "empty_text", "companies"),
            ({"companies": ["n" * 201]}, "bad_name", "companies"),
            ({"companies": [str(n) for n in range(51)]}, "bad_name", "companies"),
            ({"published_at": "2026-03-02T12:31:00Z"}, "bad_time", "published_at"),
        ],
    )
    def test_each_bad_field_is_refused_with_its_code_and_name(self, change: dict, code: str, field: str) -> None:
        with pytest.raises(ValidationFailed) as caught:
            make_draft(limits=LIMITS, **{"text": "Profit rose", **change})
        assert (caught.value.code, caught.value.facts["field"]) == (code, field)

    def test_keys_are_those_of_companies_source_topics_and_all(self) -> None:
        assert keys_of(companies=["A"], source="Wire", topics=["recalls"]) == (
            "all",
            "company:A",
            "source:Wire",
            "topic:recalls",
        )
        assert check_key("company:A:B") == "company:A:B"
        with pytest.raises(ValidationFailed, match="no key"):
            check_key("ticker:A")


class TestLabelling:
    def answer(self, **probabilities: float) -> Classification:
        return Classification(
            label=None,
            confidence=0.5,
            probabilities=probabilities,
            abstained=True,
            origin=Origin(model="m", version="1"),
        )

    def test_the_score_is_positive_minus_negative_and_the_label_the_most_probable(self) -> None:
        labelling = labelling_from(self.answer(Positive=0.2, neutral=0.3, negative=0.5))
        assert labelling.label == "negative"
        assert labelling.score == pytest.approx(-0.3)
        assert labelling.model == "m@1"

    def test_a_model_with_other_labels_is_refused(self) -> None:
        with pytest.raises(ModelError, match="needs positive, neutral and negative") as caught:
            labelling_from(self.answer(good=0.5, bad=0.5))
        assert caught.value.code == "wrong_labels"


class TestRollUp:
    def test_days_begin_in_the_zone_that_was_asked_for(self) -> None:
        hours = [
            (datetime(2026, 3, 1, 15, tzinfo=UTC), Tally(1)),
            (datetime(2026, 3, 1, 16, tzinfo=UTC), Tally(0, 0, 1)),
        ]
        start = floor_time(hours[0][0], "day", SHANGHAI)
        points = roll_up(hours, size="day", zone=SHANGHAI, start=start, end=start + timedelta(days=2), fill=True)
        assert [(point.start.day, point.positive, point.negative) for point in points] == [(1, 1, 0), (2, 0, 1)]

    def test_a_day_of_the_change_to_summer_time_has_23_hours(self) -> None:
        start = floor_time(datetime(2026, 3, 29, 12, tzinfo=UTC), "day", ZoneInfo("Europe/London"))
        assert next_time(start, "day").astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=23)

    def test_weeks_begin_on_monday(self) -> None:
        assert floor_time(datetime(2026, 3, 8, 23, tzinfo=UTC), "week", UTC) == datetime(2026, 3, 2, tzinfo=UTC)

    def test_empty_buckets_are_zeros_when_filled_and_left_out_otherwise(self) -> None:
        start = datetime(2026, 3, 2, 0, tzinfo=UTC)
        hours = [(start + timedelta(hours=1), Tally(0, 1, 0, 250_000))]
        filled = roll_up(hours, size="hour", zone=UTC, start=start, end=start + timedelta(hours=3), fill=True)
        assert [point.documents for point in filled] == [0, 1, 0]
        assert filled[0].mean_score is None
        assert filled[1].mean_score == 0.25
        assert len(roll_up(hours, size="hour", zone=UTC, start=start, end=start + timedelta(hours=3), fill=False)) == 1

    def test_a_range_of_too_many_points_is_refused(self) -> None:
        start = datetime(2000, 1, 1, tzinfo=UTC)
        with pytest.raises(ValidationFailed, match="the limit is 5,000"):
            roll_up([], size="hour", zone=UTC, start=start, end=NOW, fill=True)

    @given(
        st.lists(st.integers(0, 24 * 60), max_size=40),
        st.sampled_from(["hour", "day", "week"]),
        st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata"]),
    )
    def test_no_document_is_lost_or_counted_twice_by_rolling_up(self, offsets: list[int], size: str, zone: str) -> None:
        start = datetime(2026, 2, 20, tzinfo=UTC)
        hours = [(start + timedelta(hours=offset), Tally(1)) for offset in offsets]
        points = roll_up(hours, size=size, zone=ZoneInfo(zone), start=start, end=start + timedelta(days=61), fill=True)
        assert sum(point.documents for point in points) == len(offsets)
        assert all(earlier.end == later.start for earlier, later in pairwise(points))


class TestThreshold:
    RULE = ThresholdRule(name="r", negative_share=0.6, min_documents=5, recovery_share=0.4)

    def test_it_fires_at_the_share_and_count_and_not_below(self) -> None:
        assert judge(self.RULE, seen(3, 2), firing=False) is Verdict.FIRE
        assert judge(self.RULE, seen(4, 0), firing=False) is Verdict.KEEP
        assert judge(self.RULE, seen(5, 4), firing=False) is Verdict.KEEP

    def test_between_the_thresholds_a_firing_alert_stays(self) -> None:
        assert judge(self.RULE, seen(5, 5), firing=True) is Verdict.KEEP
        assert judge(self.RULE, seen(4, 6), firing=True) is Verdict.RESOLVE

    def test_it_resolves_when_too_few_documents_are_left(self) -> None:
        assert judge(self.RULE, seen(3, 0), firing=True) is Verdict.KEEP
        assert judge(self.RULE, seen(2, 0), firing=True) is Verdict.RESOLVE
        assert judge(self.RULE, seen(0, 0), firing=True) is Verdict.RESOLVE

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"window": "soon"}, "no length such as"),
            ({"window": "400d"}, "no length such as"),
            ({"recovery_share": 0.6}, "must be below negative_share"),
            ({"negative_share": 0.0}, "would always fire"),
            ({"recovery_documents": 6}, "recovery_documents"),
            ({"name": "Über"}, "regex"),
            ({"kind": "threshold.v2"}, "threshold.v2"),
            ({"windw": "6h"}, "windw"),
        ],
    )
    def test_a_rule_that_makes_no_sense_is_refused_when_it_is_read(self, change: dict, says: str) -> None:
        with pytest.raises(msgspec.ValidationError, match=says):
            msgspec.convert({"name": "r", **change}, ThresholdRule)

    def test_the_version_changes_with_anything_that_decides(self) -> None:
        assert rule_version(self.RULE) == rule_version(msgspec.convert(msgspec.to_builtins(self.RULE), ThresholdRule))
        assert rule_version(self.RULE) != rule_version(msgspec.structs.replace(self.RULE, min_documents=6))

    def test_two_rules_of_one_name_are_refused_in_the_settings(self) -> None:
        with pytest.raises(ValueError, match="'r' is used 2 times"):
            SentimentSettings(rules=(self.RULE, self.RULE))

    @given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 20), st.floats(0.05, 1.0))
    def test_what_would_have_stopped_it_does_stop_it(self, negative: int, other: int, least: int, share: float) -> None:
        rule = ThresholdRule(name="r", negative_share=share, min_documents=least)
        if judge(rule, seen(negative, other), firing=False) is not Verdict.FIRE:
            return
        words = what_would_stop(rule, seen(negative, other)).split()
        more = int(words[0])
        assert judge(rule, seen(negative, other + more), firing=False) is Verdict.KEEP
        assert more == 1 or judge(rule, seen(negative, other + more - 1), firing=False) is Verdict.FIRE


def test_the_message_is_an_alertmanager_webhook_of_version_4_with_the_alert_beside_it() -> None:
    driving = [DrivingDocument(id="d", headline="Loss", source="Wire", published_at=NOW, score=-0.9)]
    rule = TestThreshold.RULE
    alert = Alert(
        id="1",
        fingerprint=fingerprint_of("r", "company:A"),
        rule="r",
        rule_version=rule_version(rule),
        kind="threshold.v1",
        key="company:A",
        severity="critical",
        state="firing",
        starts_at=NOW,
        raised_at=NOW,
        evidence=evidence_of(rule, seen(4, 1), driving=driving, models=["m@1"]),
    )
    body = alert_message(alert, external_url="https://news.example/")
    assert body["version"] == "4"
    one = body["alerts"][0]
    assert one["labels"] == {"alertname": "r", "key": "company:A", "severity": "critical", "company": "A"}
    assert one["annotations"]["summary"] == "4 of 5 documents about A are negative (80%; threshold 60%)"
    assert all(isinstance(value, str) for value in one["annotations"].values())
    assert (one["startsAt"], one["endsAt"]) == ("2026-03-02T12:30:00Z", "0001-01-01T00:00:00Z")
    assert one["generatorURL"] == "https://news.example/sentiment/alerts/1"
    assert body["alert"]["evidence"]["driving_documents"][0]["id"] == "d"
