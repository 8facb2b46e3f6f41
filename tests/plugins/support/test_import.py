"""Imports of files and folders."""

from __future__ import annotations

from parlance.testing import context
from parlance_support.plugin import plugin
from parlance_support.service import SupportService


async def test_csv_jsonl_and_markdown_of_a_folder_are_imported_and_bad_rows_reported(tmp_path):
    (tmp_path / "a.csv").write_text("问题,答案\n怎么付款？,微信。\n没有答案,\n", encoding="gb18030")
    (tmp_path / "b.jsonl").write_text('{"question": "Do you ship?", "answer": "Yes.", "variants": ["Post?"]}\nnope\n')
    (tmp_path / "c.md").write_text("# Help\n## Can I pay by card?\nYes, any card.\n")
    async with context("support", plugin) as made:
        service = SupportService(made)
        reports = await service.import_path(tmp_path)
        assert [(report.stored, report.rejected) for report in reports] == [(1, 1), (1, 1), (1, 0)]
        assert reports[0].first_rejects[0].line == 3
        assert await service.counts() == {"en": 2, "zh": 1}
        await service.import_path(tmp_path)
        assert sum((await service.counts()).values()) == 3


async def test_a_dry_run_stores_nothing(tmp_path):
    (tmp_path / "faq.csv").write_text("Frage,Antwort\nWhere?,Here.\n")
    async with context("support", plugin) as made:
        service = SupportService(made)
        mapping = {"question": "Frage", "answer": "Antwort"}
        (report,) = await service.import_path(tmp_path / "faq.csv", columns=mapping, dry_run=True)
        assert report.stored == 1
        assert await service.counts() == {}
