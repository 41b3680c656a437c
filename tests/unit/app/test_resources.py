"""What a run takes of the machine."""

from mctool.app.resources import peak_rss_mb


def test_peak_memory_grows_with_use():
    before = peak_rss_mb()
    block = bytearray(int(before * 1e6) + 50_000_000)
    assert 1 < before < peak_rss_mb()
    assert len(block) > 0
