"""`python -m tests.browser.screenshots docs/images` takes the pictures of docs/report.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import tracer as tr
from tests.browser import sample
from tests.browser.conftest import browser_in, emulate


def main(folder: str) -> None:
    rng = np.random.default_rng(0)
    params = {name: 0.1 * rng.normal(size=shape).astype(np.float32) for name, shape in sample.LSTM.items()}
    xs, ys = (0.1 * rng.normal(size=(64, 16, 64)).astype(np.float32) for _ in range(2))
    report = tr.explain(tr.grad(sample.lstm))(params, xs, ys)
    with tempfile.TemporaryDirectory() as scratch, browser_in(Path(scratch)) as browser:
        page = report.save(Path(scratch) / "report.html")
        browser.driver.set_window_size(1280, 800)
        for scheme in ("light", "dark"):
            emulate(browser, scheme)
            browser.open(page)
            if scheme == "dark":
                browser.click("#tab-memory")
            else:
                name = Path(sample.__file__).name
                browser.run(
                    "showFile(DATA.files.findIndex((f) => f.name === arguments[0]));"
                    "const i = view.source.findIndex((row) => row.text.includes('c = tr.nn.sigmoid'));"
                    "lists.source.go(i); choose('source', i, false)",
                    name,
                )
            browser.driver.save_screenshot(str(Path(folder) / f"report-{scheme}.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
