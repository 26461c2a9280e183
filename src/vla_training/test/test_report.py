import base64
import json
import re

import cv2
import numpy as np
import pytest
from html_pages import Page
from small_bags import METADATA, SMALL_CONTRACT, STORAGES, small_messages, write_small_bag

from vla_training.conversion.pipeline import convert
from vla_training.conversion.report import FORMAT, FORMAT_VERSION, write_report
from vla_training.dataset.file import DatasetFile
from vla_training.dataset.layout import ACTION, observation
from vla_training.errors import ConversionError

SENTENCE = 'dock at the <b>"orange"</b> charger & stay'


def without_camera(messages, first, last):
    camera = [m for m in messages if m.topic == "/camera/image_raw"][first:last]
    return [m for m in messages if not any(m is gone for gone in camera)]


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Two good bags, one that is cut in two, one that is not wanted and one that is damaged."""
    folder = tmp_path_factory.mktemp("bags")
    named = {**METADATA, "vla.instruction": SENTENCE}
    write_small_bag(folder / "first", small_messages(20, 1), STORAGES["ours"], named)
    write_small_bag(folder / "second", small_messages(16, 2))
    plain = without_camera(small_messages(150, 3), 60, 100)
    write_small_bag(folder / "third", plain, metadata={})
    write_small_bag(folder / "unwanted", small_messages(), metadata={"vla.outcome": "failure"})
    damaged = write_small_bag(folder / "damaged", small_messages(seed=4), STORAGES["ours"])
    file = damaged / "damaged.mcap"
    file.write_bytes(file.read_bytes()[:-1000])
    out = tmp_path_factory.mktemp("data") / "data.h5"
    return convert(
        [folder], out, SMALL_CONTRACT, include=("success", "unknown"), jobs=1, progress=False
    )


@pytest.fixture(scope="module")
def files(summary, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "below" / "report.html"
    write_report(summary, path)
    return json.loads(path.with_suffix(".json").read_text("utf-8")), path.read_text("utf-8")


def test_every_bag_is_in_the_report_with_what_became_of_it(files):
    report, _ = files
    assert (report["format"], report["format_version"]) == (FORMAT, FORMAT_VERSION)
    bags = {bag["bag"].rsplit("/", 1)[-1]: bag for bag in report["bags"]}
    assert {name: bag["status"] for name, bag in bags.items()} == {
        "first": "used",
        "second": "used",
        "third": "used",
        "unwanted": "left out",
        "damaged": "damaged",
    }
    assert "outcome failure" in bags["unwanted"]["skipped"]
    assert "cut off" in bags["damaged"]["skipped"]
    assert [len(bags[name]["episodes"]) for name in ("first", "second", "third")] == [1, 1, 2]
    (silence,) = (cut for cut in bags["third"]["dropped"] if cut["duration_s"] > 1.0)
    assert silence["reason"] == "2.05 s without image"
    assert silence["start_s"] == pytest.approx(2.953, abs=0.01)


def test_totals_are_those_of_the_data_set(files, summary):
    report, _ = files
    with DatasetFile(summary.path) as data:
        actions = data.read(ACTION, slice(None))
        lengths = [episode.length for episode in data.episodes]
        expected = data.statistics.field("odometry").mean
    totals = report["totals"]
    assert (totals["bags"], totals["used"], totals["left out"], totals["damaged"]) == (5, 3, 1, 1)
    assert totals["episodes"] == len(lengths) == summary.episodes
    assert totals["frames"] == sum(lengths) == sum(s["frames"] for s in report["splits"].values())
    assert totals["duration_s"] == pytest.approx(0.05 * sum(lengths))
    assert report["statistics"]["odometry"]["mean"] == expected.tolist()
    for column, (field, values) in enumerate(report["action"].items()):
        counts, _ = np.histogram(actions[:, column], values["edges"])
        assert field == SMALL_CONTRACT.action.fields[column]
        assert values["counts"] == counts.tolist()
    for bag in report["bags"]:
        for episode in bag.get("episodes", ()):
            assert episode["split"] in report["splits"]


def test_streams_have_their_rates_ages_and_gaps(files):
    report, _ = files
    image, scan = report["streams"]["image"], report["streams"]["scan"]
    assert image["rate_hz"]["median"] == pytest.approx(20.0)
    assert image["rate_hz"]["min"] == pytest.approx(20.0 * 109 / 149, rel=0.01)
    assert image["max_gap_s"] == pytest.approx(2.05)
    assert scan["rate_hz"]["median"] == pytest.approx(10.0)
    assert scan["age_s"]["max"] < 0.1
    assert any("image is slower than 80%" in finding for finding in report["findings"])
    assert any("no instruction in 1 bag (third)" in finding for finding in report["findings"])


def test_the_page_stands_alone_and_shows_text_as_text(files):
    _, text = files
    page = Page(text)
    for _, name, value in page.attributes:
        if name in ("src", "href", "data", "action"):
            assert value.startswith("data:image/jpeg;base64,")
    assert "url(" not in text
    assert "@import" not in text
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert any(SENTENCE in part for part in page.texts)
    assert "<b>&quot;" not in text.replace("&lt;", "")
    shown = " ".join(page.texts)
    for words in ("first", "third", "damaged", "2.05 s without image", "outcome failure"):
        assert words in shown


def test_frames_are_the_first_middle_and_last_of_each_bag(files, summary):
    report, text = files
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    used = [bag for bag in report["bags"] if bag["status"] == "used"]
    assert len(pictures) == 3 * len(used)
    with DatasetFile(summary.path) as data:
        for number, bag in enumerate(used):
            first = bag["episodes"][0]["first_row"]
            for place, row in enumerate((0, bag["rows"] // 2, bag["rows"] - 1)):
                file = np.frombuffer(base64.b64decode(pictures[3 * number + place]), np.uint8)
                bgr = cv2.imdecode(file, cv2.IMREAD_COLOR)
                expected = data.read(observation("image"), slice(first + row, first + row + 1))[0]
                # Noise does not survive JPEG well; the mean of each channel does.
                assert bgr.shape == expected.shape
                difference = bgr[..., ::-1].mean((0, 1)) - expected.mean((0, 1))
                assert np.abs(difference).max() < 12.0


def test_json_alone_and_other_names(summary, tmp_path):
    write_report(summary, tmp_path / "report.json")
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    with pytest.raises(ConversionError, match=r"expected \.html or \.json"):
        write_report(summary, tmp_path / "report.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="cannot be written"):
        write_report(summary, tmp_path / "file" / "report.html")
