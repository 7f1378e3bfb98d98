"""Downloads against a server on this machine that cuts, changes, refuses and lies on demand."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.weights import download as fetching
from jaxvid.weights import zoo
from jaxvid.weights.download import fetch

DATA = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
FILE = f"tiny-{DIGEST[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves `site.data` with ranges; the other fields of `site` say what goes wrong."""

    def do_GET(self):
        site = self.server.site
        site.requests.append(dict(self.headers))
        if site.errors:
            return self.send_error(site.errors.pop(0))
        if self.path in site.dead:
            return self.send_error(404)
        start, status = 0, 200
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and site.ranges and self.headers.get("If-Range") == site.etag:
            start, status = int(found[1]), 206
            if start >= len(site.data):
                return self.send_error(416)
        body = site.data[start:]
        cut = site.cuts.pop(0) if site.cuts else len(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if site.etag:
            self.send_header("ETag", site.etag)
        if status == 206:
            last = len(site.data) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        self.end_headers()
        site.gate.wait(60)
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    """A server, and what it does: `cuts` ends replies after so many bytes, `errors` come first."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("JAXVID_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = SimpleNamespace(
        data=DATA,
        etag='"one"',
        ranges=True,
        cuts=[],
        errors=[],
        dead=[],
        requests=[],
        gate=threading.Event(),
        url=f"http://127.0.0.1:{server.server_port}",
    )
    server.site.gate.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.site
    server.site.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def row(site):
    return row_of(f"{site.url}/{FILE}")


def row_of(url, sha256=DIGEST[:8], mirrors=()):
    row = zoo.get("swin_tiny_k400")
    return dataclasses.replace(row, url=url, sha256=sha256, mirrors=mirrors)


def give_up(site, row, folder, after):
    """A fetch that ends after so many bytes."""
    site.cuts = [after, 0, 0, 0]
    with pytest.raises(UserError):
        fetch(row, folder)


def process(row, folder, before=""):
    """Another Python that fetches `row` in pieces of 30 kB."""
    code = (
        f"{before}import dataclasses; from jaxvid.weights import download, zoo;"
        "download.CHUNK = 30_000;"
        f"changes = dict(url={row.url!r}, sha256={row.sha256!r}, mirrors=());"
        "row = dataclasses.replace(zoo.rows()[0], **changes);"
        f"print(download.fetch(row, {str(folder)!r}))"
    )
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


def starts(site):
    """The first byte that each request asked for."""
    return [int(r.get("Range", "bytes=0-")[6:-1]) for r in site.requests]


def test_a_file_is_fetched_once(site, row, tmp_path, said):
    path = fetch(row, tmp_path)
    assert path == tmp_path / FILE
    assert path.read_bytes() == DATA
    assert fetch(row, tmp_path) == path
    assert len(site.requests) == 1
    assert said == [f"fetching {row.name} from {row.url}", f"saved {path}"]
    assert not list(tmp_path.glob("*.part*"))


def test_the_cache_is_where_the_environment_says(site, row, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path))
    assert fetch(row) == tmp_path / "weights" / FILE


# Cut connections


def test_a_cut_download_goes_on_at_once(site, row, tmp_path):
    site.cuts = [100_000, 50_000]
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert starts(site) == [0, 100_000, 150_000]
    assert [r.get("If-Range") for r in site.requests] == [None, '"one"', '"one"']


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(site, row, tmp_path, said):
    site.cuts = [120_000, 0, 0, 0]
    with pytest.raises(UserError, match=r"ended at 120,000 of 300,000 bytes, 0\.1 MB are kept"):
        fetch(row, tmp_path)
    site.requests.clear()
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert starts(site) == [120_000]
    assert "part is here" in said[-2]


def test_as_long_as_bytes_arrive_it_goes_on(site, row, tmp_path):
    site.cuts = [30_000] * 9
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert len(site.requests) == 10


def test_a_file_replaced_meanwhile_starts_over(site, row, tmp_path):
    site.data, site.etag = OTHER, '"old"'
    give_up(site, row, tmp_path, after=100_000)
    site.data, site.etag = DATA, '"one"'
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert len(site.requests) == 5


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}])
def test_a_server_that_cannot_continue_starts_over(site, row, tmp_path, change):
    vars(site).update(change)
    site.cuts = [100_000]
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert len(site.requests) == 2
    assert starts(site)[1] == (100_000 if "ranges" in change else 0)


def test_a_damaged_part_starts_over(site, row, tmp_path):
    give_up(site, row, tmp_path, after=100_000)
    (tmp_path / f"{FILE}.part").write_bytes(OTHER[:100_000])
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert starts(site)[-2:] == [100_000, 0]


@pytest.mark.parametrize("length", [300_000, 300_001])
def test_a_part_as_long_as_the_file_starts_over(site, row, tmp_path, length):
    give_up(site, row, tmp_path, after=100_000)
    (tmp_path / f"{FILE}.part").write_bytes(OTHER[:100_000] + bytes(length - 100_000))
    assert fetch(row, tmp_path).read_bytes() == DATA


def test_passing_errors_of_the_server_are_tried_again(site, row, tmp_path):
    site.errors = [503, 429, 500]
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert len(site.requests) == 4


def test_a_server_that_falls_silent_is_an_error(site, row, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    monkeypatch.setattr(fetching, "TRIES", 2)
    site.gate.clear()
    with pytest.raises(UserError, match="timed out"):
        fetch(row, tmp_path)


# Hashes


def test_a_wrong_hash_is_an_error_and_nothing_is_kept(site, row, tmp_path):
    site.data = OTHER
    wrong = hashlib.sha256(OTHER).hexdigest()[:8]
    with pytest.raises(UserError, match=f"begins with {wrong}, not with {DIGEST[:8]}"):
        fetch(row, tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")]


def test_a_damaged_file_in_the_cache_is_an_error(site, row, tmp_path):
    path = fetch(row, tmp_path)
    path.write_bytes(DATA[:-1])
    with pytest.raises(UserError, match=f"{FILE}.*not with {DIGEST[:8]}.*Remove it"):
        fetch(row, tmp_path)


def test_the_hash_of_the_first_fetch_is_held(site, tmp_path, said):
    row = row_of(f"{site.url}/unverified.pth", sha256="")
    path = fetch(row, tmp_path)
    assert "unverified" in said[-1]
    assert json.loads((tmp_path / "sha256.json").read_text()) == {"unverified.pth": DIGEST}
    path.write_bytes(OTHER)
    with pytest.raises(UserError, match=f"not with {DIGEST[:8]}"):
        fetch(row, tmp_path)
    path.unlink()
    site.data = OTHER
    with pytest.raises(UserError, match=r"not what was first fetched.*sha256\.json"):
        fetch(row, tmp_path)
    assert not path.exists()
    site.data = DATA
    assert fetch(row, tmp_path) == path


def test_the_hash_of_a_file_put_into_the_cache_is_held(site, tmp_path):
    row = row_of(f"{site.url}/unverified.pth", sha256="")
    path = tmp_path / "unverified.pth"
    path.write_bytes(DATA)
    assert fetch(row, tmp_path) == path
    path.write_bytes(OTHER)
    with pytest.raises(UserError, match=f"not with {DIGEST[:8]}"):
        fetch(row, tmp_path)
    assert site.requests == []


def test_a_damaged_record_is_an_error(site, tmp_path):
    (tmp_path / "sha256.json").write_text("{")
    with pytest.raises(UserError, match=r"sha256\.json.*remove it"):
        fetch(row_of(f"{site.url}/unverified.pth", sha256=""), tmp_path)


# Disks


def test_a_full_disk_is_noticed_before_the_download(site, row, tmp_path, monkeypatch):
    free = SimpleNamespace(free=200_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match=r"0\.3 MB are needed, 0\.2 MB are free.*JAXVID_CACHE"):
        fetch(row, tmp_path)
    free.free = 400_000
    give_up(site, row, tmp_path, after=150_000)
    free.free = 200_000  # enough for what is missing
    assert fetch(row, tmp_path).read_bytes() == DATA


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_during_the_download_is_one_clear_line(site, row, tmp_path):
    (tmp_path / f"{FILE}.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"\.part: No space left on device; what has arrived"):
        fetch(row, tmp_path)
    assert len(site.requests) == 1
    assert not (tmp_path / FILE).exists()


def test_what_arrived_before_the_disk_was_full_is_kept(site, row, tmp_path):
    """With files limited to 100 kB, as on a disk that fills up."""
    limit = (
        "import resource, signal;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    )
    with process(row, tmp_path, limit) as limited:
        assert "File too large; what has arrived is kept" in limited.communicate(timeout=60)[1]
    site.requests.clear()
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert starts(site)[0] >= 90_000


def test_a_folder_that_cannot_be_made_is_one_clear_line(site, row, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory"):
        fetch(row, tmp_path / "file" / "weights")


# Without a network


def test_out_of_reach_the_error_says_what_to_put_where(tmp_path, row, site):
    unreachable = row_of(f"http://127.0.0.1:1/{FILE}")
    with pytest.raises(UserError) as error:
        fetch(unreachable, tmp_path)
    message = str(error.value)
    for part in (
        unreachable.url,
        "refused",
        str(tmp_path / FILE),
        "JAXVID_WEIGHTS_DIR",
        DIGEST[:8],
    ):
        assert part in message
    (tmp_path / FILE).write_bytes(DATA)
    assert fetch(unreachable, tmp_path) == tmp_path / FILE


def test_a_dead_link_leads_to_the_mirror(site, tmp_path):
    site.dead = [f"/{FILE}"]
    row = row_of(f"{site.url}/{FILE}", mirrors=(f"{site.url}/mirror/{FILE}",))
    assert fetch(row, tmp_path).read_bytes() == DATA
    site.dead += [f"/mirror/{FILE}"]
    with pytest.raises(UserError) as error:
        fetch(row, tmp_path / "again")
    assert str(error.value).count("HTTP 404") == 2


def test_the_part_of_one_link_is_not_continued_from_another(site, tmp_path):
    row = row_of(f"{site.url}/{FILE}", mirrors=(f"{site.url}/mirror/{FILE}",))
    site.cuts = [100_000, 0, 0, 0]
    assert fetch(row, tmp_path).read_bytes() == DATA
    assert starts(site) == [0, 100_000, 100_000, 100_000, 0]


@pytest.mark.parametrize("name", [FILE, "swin_tiny_32x2_k400.pth", "swin_tiny_32x2_k400.anything"])
def test_a_folder_of_weights_comes_first(site, row, tmp_path, monkeypatch, name):
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path / "shared"))
    with pytest.raises(UserError, match=r"JAXVID_WEIGHTS_DIR=.*no such folder"):
        fetch(row, tmp_path)
    (tmp_path / "shared").mkdir()
    path = tmp_path / "shared" / name
    path.write_bytes(DATA)
    assert fetch(row, tmp_path) == path
    assert site.requests == []
    path.write_bytes(OTHER)
    with pytest.raises(UserError, match=f"not with {DIGEST[:8]}"):
        fetch(row, tmp_path)
    path.unlink()
    assert fetch(row, tmp_path) == tmp_path / FILE


def test_a_file_is_checked_against_its_row(row, tmp_path):
    path = tmp_path / "swin_tiny_k400.pth"
    path.write_bytes(DATA)
    assert fetching.check(path, row) == path
    with pytest.raises(UserError, match="damaged or another file"):
        fetching.check(path, dataclasses.replace(row, sha256="00000000"))
    with pytest.raises(UserError, match="cannot read it"):
        fetching.check(tmp_path / "missing.pth", row)


# Several processes, and what is shown


def test_two_processes_fetch_it_once(site, row, tmp_path):
    site.gate.clear()
    with process(row, tmp_path) as one:
        while not site.requests and one.poll() is None:
            time.sleep(0.01)
        with process(row, tmp_path) as two:
            assert f"is in use by process {one.pid} on" in two.stderr.readline()
            site.gate.set()
            outputs = [each.communicate(timeout=60)[0] for each in (one, two)]
    assert [out.strip() for out in outputs] == [str(tmp_path / FILE)] * 2
    assert len(site.requests) == 1
    assert (tmp_path / FILE).read_bytes() == DATA


def test_hashes_recorded_at_once_are_all_kept(tmp_path):
    names = [f"{i}.pth" for i in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: fetching.write_record(tmp_path, name, DIGEST), names))
    assert fetching.recorded(tmp_path).keys() == set(names)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_one_line_of_a_terminal(site, row, tmp_path, monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(fetching, "CHUNK", 100_000)
    fetch(row, tmp_path)
    shown = capsys.readouterr().err
    if terminal:
        line = rf"\r{row.name}  0\.3 MB of 0\.3 MB 100%  [\d.]+ MB/s\S*\nsaved .*\n$"
        assert re.search(line, shown)
        assert shown.count("\n") == 3, "before it what is fetched, and then where it is"
    else:
        assert shown == f"fetching {row.name} from {row.url}\nsaved {tmp_path / FILE}\n"
