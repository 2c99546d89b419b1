"""The web page in a real browser: Debian's Chromium, driven by Playwright, with no way out.

Without Chromium, gradio or Playwright the tests skip; with CI_REQUIRE_BROWSER=1 they fail instead.
"""

import importlib.util
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
WAIT = 120_000  # milliseconds: WebGL in software on busy cores is slow
PLOT = "document.querySelector('#plot .js-plotly-plot')"
EYE = f"{PLOT}._fullLayout.scene._scene.getCamera().eye"


def missing() -> str:
    """What keeps the browser tests from running; empty where nothing does."""
    lacking = [m for m in ("gradio", "plotly", "playwright") if not importlib.util.find_spec(m)]
    lacking += [] if Path(CHROMIUM).exists() else ["chromium"]
    return f"the browser tests need {', '.join(lacking)}" if lacking else ""


if missing() and os.environ.get("CI_REQUIRE_BROWSER") != "1":
    pytest.skip(missing(), allow_module_level=True)


@dataclass
class Site:
    """A running page in an open browser tab, and whom either of them talked to."""

    server: Any
    page: Any
    asked: list[str] = field(default_factory=list)
    connected: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server and one browser tab for all tests."""
    assert not missing(), missing()
    from playwright.sync_api import sync_playwright

    from crosstask.predict.model import load
    from crosstask.web.server import start
    from crosstask.web.session import Limits, Studio, render_examples
    from fakes.served import tiny_model

    folder = tiny_model().save_pretrained(tmp_path_factory.mktemp("model"))
    with pytest.MonkeyPatch.context() as patch:
        connected: list[Any] = []
        real = socket.socket.connect
        patch.setattr(
            socket.socket, "connect", lambda s, to: (connected.append(to), real(s, to))[1]
        )
        patch.setenv("GRADIO_TEMP_DIR", "")  # set by `start`; put back afterwards
        streets = render_examples(2, size=(32, 64))
        server = start(
            Studio(load(folder), Limits(upload_mb=0.2, points=2000)), "127.0.0.1", 0, streets
        )
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM,
                    args=["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"],
                )
                made = Site(server, browser.new_page(), connected=connected)
                made.page.set_default_timeout(WAIT)
                made.page.on("request", lambda request: made.asked.append(request.url))
                made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
                yield made
                browser.close()
        finally:
            server.close()


@pytest.fixture
def site(tab: Site) -> Site:
    """The page as a new visitor finds it."""
    answer = tab.page.goto(tab.server.url)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    tab.page.wait_for_selector(".ct-example")
    return tab


@pytest.fixture
def shown(site: Site, tmp_path: Path) -> Site:
    """The page with the prediction of a photograph."""
    give(site, photo(tmp_path / "photo.png"))
    site.page.wait_for_selector("#images .ct-card")
    return site


def photo(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def give(site: Site, path: Path) -> None:
    site.page.set_input_files("#upload input[type=file]", path)


def uploads(site: Site) -> list[Path]:
    """Files of visitors on the server's disk that hold anything."""
    return [p for p in site.server.folder.rglob("*") if p.is_file() and p.stat().st_size]


def test_an_upload_is_predicted_and_deleted(shown: Site) -> None:
    site = shown
    cards = site.page.locator("#images .ct-card")
    names = [cards.nth(k).get_attribute("data-task") for k in range(cards.count())]
    assert names == ["segmentation", "depth", "normals", "edges"]
    assert site.page.locator("#images .ct-legend").count() == 4
    assert "50x100 pixels" in site.page.locator("#status").inner_text()
    assert all("sessions" in file.parts for file in uploads(site))


def test_the_overlay_follows_choice_and_opacity(shown: Site) -> None:
    layer = shown.page.locator("#images .ct-layer:visible")
    assert layer.get_attribute("data-task") == "segmentation"
    shown.page.locator("#images input[value=depth]").check()
    shown.page.locator(".ct-opacity").fill("80")
    assert layer.get_attribute("data-task") == "depth"
    assert layer.evaluate("layer => getComputedStyle(layer).opacity") == "0.8"


def click(site: Site, where: str, x: float, y: float) -> None:
    """At fractions of the first image of a view."""
    stage = site.page.locator(f"{where} .ct-pick").first
    box = stage.bounding_box()
    stage.click(position={"x": x * box["width"], "y": y * box["height"]})


def test_a_click_reads_the_pixel(shown: Site) -> None:
    site = shown
    click(site, "#images", 0.255, 0.51)  # of 100 x 50 pixels
    site.page.wait_for_selector("text=column 25, row 25")
    said = site.page.locator(".ct-reading [data-task]")
    texts = {said.nth(k).get_attribute("data-task"): said.nth(k).inner_text() for k in range(4)}
    assert any(name in texts["segmentation"] for name in ("ground", "wall", "box"))
    assert "(up to scale)" in texts["depth"]
    assert "faces" in texts["normals"] and "z " in texts["normals"]
    assert "probability 0." in texts["edges"]


def test_a_pixel_is_chosen_without_a_mouse(shown: Site) -> None:
    site = shown
    click(site, "#images", 0.255, 0.51)
    site.page.wait_for_selector("text=column 25, row 25")
    stage = site.page.locator("#images .ct-pick").first
    assert "arrow keys" in stage.get_attribute("aria-label")
    for _ in range(60):  # it can be reached with the Tab key alone
        site.page.keyboard.press("Tab")
        if stage.evaluate("pick => pick === document.activeElement"):
            break
    assert stage.evaluate("pick => getComputedStyle(pick).outlineStyle") == "solid"
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "ArrowUp"):
        site.page.keyboard.press(key)
    site.page.wait_for_selector("text=column 27, row 34")  # from column 25, row 25
    mark = site.page.locator("#images .ct-mark").last
    assert mark.get_attribute("style").startswith("left: 27.5%; top: 69%")  # of every image
    site.page.keyboard.press("Shift+ArrowDown")
    site.page.keyboard.press("Shift+ArrowDown")
    site.page.keyboard.press("Enter")  # at once, and never outside
    site.page.wait_for_selector("text=column 27, row 49")
    assert site.page.locator(".ct-reading").get_attribute("aria-live") == "polite"


def test_the_attention_follows_the_click(shown: Site) -> None:
    site = shown
    site.page.get_by_role("tab", name="Attention").click()
    cards = site.page.locator("#attention .ct-card")
    assert cards.count() == 12
    image = cards.first.locator("img")
    before = image.get_attribute("src")
    click(site, "#attention", 0.905, 0.09)
    site.page.wait_for_selector("text=column 90, row 4")
    site.page.wait_for_function(
        "old => document.querySelector('#attention .ct-card img').src !== old", arg=before
    )
    assert "of 128 cells" in cards.first.inner_text()  # 64 x 128 at stride 2, cells of 4 x 4


def test_the_scene_in_space_and_its_file(shown: Site) -> None:
    site = shown
    site.page.get_by_role("tab", name="3-D").click()
    site.page.wait_for_selector("#plot canvas")
    eye = site.page.evaluate(EYE)
    canvas = site.page.locator("#plot canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    site.page.mouse.move(*middle)
    site.page.mouse.down()
    site.page.mouse.move(middle[0] + 80, middle[1] + 20, steps=4)
    site.page.mouse.up()
    site.page.wait_for_function(f"old => {EYE}.x !== old.x", arg=eye)  # it can be turned
    before = site.page.evaluate(f"{PLOT}.data[0].marker.color[0]")
    assert "5000" not in site.page.locator("#cloud-note").inner_text()  # the farthest are left out
    site.page.locator("#color input[value=normals]").check()
    site.page.wait_for_function(f"old => {PLOT}.data[0].marker.color[0] !== old", arg=before)
    assert 0 < site.page.evaluate(f"{PLOT}.data[0].marker.color.length") <= 2000
    with site.page.expect_download() as waiting:
        site.page.locator("#download").click()
    content = Path(waiting.value.path()).read_bytes()
    assert waiting.value.suggested_filename == "scene_normals.ply"
    count = int(content.split(b"element vertex ")[1].split()[0])
    assert 4750 <= count < 5000  # nearest 95 % of 100 x 50
    assert len(content) == content.index(b"end_header\n") + 11 + 15 * count
    assert all("sessions" in file.parts for file in uploads(site))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.png", b"no image", "text.png is not an image that can be read"),
        ("zero.jpg", b"", "empty"),
        ("large.png", b"x" * 300_000, "exceed the maximum"),
    ],
)
def test_a_bad_file_gives_a_message(
    shown: Site, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    site = shown
    (tmp_path / name).write_bytes(content)
    give(site, tmp_path / name)
    site.page.wait_for_selector(f"text={words}")
    assert "Traceback" not in site.page.content()
    assert site.page.locator("#images .ct-card").count() == 4  # what was there stays
    assert not [file for file in uploads(site) if file.name == name]


def test_a_rendered_street_is_an_example(site: Site) -> None:
    site.page.locator(".ct-example").nth(1).click()
    site.page.wait_for_selector("text=32x64 pixels")
    depth = site.page.locator(".ct-reading [data-task=depth] dd")
    assert re.fullmatch(r"\d+\.\d\d m", depth.inner_text())  # its camera is known


def test_several_images_keys_and_the_archive(site: Site, tmp_path: Path) -> None:
    files = [photo(tmp_path / "first.png"), photo(tmp_path / "second.png")]
    site.page.set_input_files("#upload input[type=file]", files)
    site.page.wait_for_selector("text=first, 1 of 2")
    site.page.get_by_role("tab", name="Images").click()
    layer = site.page.locator("#images .ct-layer:visible")
    site.page.keyboard.press("3")
    assert layer.get_attribute("data-task") == "normals"
    site.page.keyboard.press("0")
    assert layer.count() == 0  # the image alone
    site.page.keyboard.press("n")
    site.page.wait_for_selector("text=second, 2 of 2")
    site.page.locator("#focal input").fill("")
    site.page.locator("#focal input").press("2")  # a number there, not the task
    assert layer.count() == 0
    with site.page.expect_download() as waiting:
        site.page.locator("#collect").click()
    assert waiting.value.suggested_filename == "crosstask_results.zip"
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert {"01_first_panel.png", "02_second_panel.png"} <= set(archive.namelist())


def test_nobody_else_was_asked_for_anything(shown: Site) -> None:
    site = shown
    home = urlsplit(site.server.url).netloc
    asked = {urlsplit(url).netloc for url in site.asked if not url.startswith(("data:", "blob:"))}
    assert asked == {home}
    inet = [to for to in site.connected if isinstance(to, tuple)]
    assert {to[0] for to in inet} <= {"127.0.0.1", "localhost", "::1"}
    assert site.complaints == []


def test_the_footer_and_outside_fonts_are_off(site: Site) -> None:
    assert site.page.locator("footer:visible").count() == 0
    fonts = site.page.evaluate("[...document.fonts].filter(f => f.status == 'loaded').length")
    assert fonts == 0
