"""The page at `/`, in a real browser."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browsing import shown_at
from tests.programs import Server, Start

pytestmark = pytest.mark.program


@pytest.fixture(scope="module")
def server(start: Start, onnx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("page") / "model"
    shutil.copytree(onnx_folder, folder)
    counts = {"kind": "string", "missing": 0, "counts": {"smith": 9, "clerk": 7, "</script>": 5}, "other": 0}
    (folder / "record.json").write_text(json.dumps({"format": 1, "rows": 21, "columns": {"job": counts}}))
    return start(folder)


@pytest.fixture
def page(browser: Any, server: Server) -> Any:
    browser.get(f"http://127.0.0.1:{server.port}/")
    return browser


def field(page: Any, name: str) -> WebElement:
    return page.find_element(By.NAME, name)  # type: ignore[no-any-return]


def fill(page: Any, name: str, text: str) -> None:
    field(page, name).clear()
    field(page, name).send_keys(text)


def predict(page: Any) -> None:
    page.find_element(By.TAG_NAME, "button").click()
    WebDriverWait(page, 10).until(lambda _: page.find_element(By.TAG_NAME, "output").text or errors(page))


def errors(page: Any) -> list[str]:
    return [error.text for error in page.find_elements(By.CLASS_NAME, "error") if error.text]


def test_a_row_is_filled_in_and_predicted(page: Any, server: Server) -> None:
    assert page.title == page.find_element(By.TAG_NAME, "h1").text == "club"
    assert [field(page, name).get_attribute("value") for name in ("age", "job", "member")] == [
        "40", "clerk", "true",
    ]  # fmt: skip
    fill(page, "age", "20")
    fill(page, "job", "smith")
    fill(page, "seen", "")
    predict(page)
    said = page.find_element(By.TAG_NAME, "output").text
    _, answer = server.predict({"age": 20, "job": "smith", "member": True, "seen": None})
    assert "Prediction: no" in said
    for share in answer["probabilities"][0]:
        assert f"{100 * share:.1f} %" in said
    assert errors(page) == []
    suggestions = page.find_elements(By.CSS_SELECTOR, "datalist option")
    assert [option.get_attribute("value") for option in suggestions] == ["</script>", "clerk", "smith"]


def test_an_error_stands_beside_its_field(page: Any) -> None:
    fill(page, "age", "old")
    predict(page)
    at = field(page, "age")
    assert errors(page) == ["Expected an integer"]
    assert page.find_element(By.ID, at.get_attribute("aria-describedby")).text == "Expected an integer"
    assert at.get_attribute("aria-invalid") == "true"
    assert page.switch_to.active_element == at
    fill(page, "age", "50")
    predict(page)
    assert (errors(page), at.get_attribute("aria-invalid")) == ([], None)
    assert "Prediction: yes" in page.find_element(By.TAG_NAME, "output").text


def test_each_field_has_a_label_and_a_phone_shows_all_of_it(page: Any) -> None:
    for name in ("age", "job", "member", "seen"):
        label = page.find_element(By.CSS_SELECTOR, f"label[for={field(page, name).get_attribute('id')}]")
        assert label.text.startswith(name)
    phone = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    colours = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        colours.append(page.execute_script("return getComputedStyle(document.body).backgroundColor"))
        predict(page)
        wide, shown = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= shown == 320
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(set(colours)) == 2


def test_the_page_keeps_to_itself(page: Any, server: Server) -> None:
    """No other server is asked, nothing inline runs but the page's own script, and nothing was refused."""
    status, html, headers = server.ask("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert headers.get_content_type() == "text/html"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in html.replace("http-equiv", "")
    refused = page.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.ran = true';"
        "document.body.append(made); return window.ran === undefined"
    )
    assert refused
    said = [entry["message"] for entry in page.get_log("browser")]
    assert [text for text in said if "Content Security Policy" not in text and " 422 " not in text] == []
    assert sum("Content Security Policy" in text for text in said) == 1


def test_the_page_fits_a_phone(browser: Any, server: Server) -> None:
    shown_at(browser, 390, f"http://127.0.0.1:{server.port}/")
    predict(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
