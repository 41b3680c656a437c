import json

import numpy as np
import pytest
import torch

from mctool.core.errors import UsageError
from mctool.engine.substitution import GAP_TOKENS, SubstitutionConfig, measure_substitution
from mctool.nets.gistnet import GistNet, GistNetConfig

VOCAB, WIDTH = 200, 16
TABLE = torch.randn(VOCAB, WIDTH, generator=torch.Generator().manual_seed(0))
NET = GistNet.for_embeddings(TABLE, GistNetConfig(width=16, head_width=8))


class Reader:
    """Predicts the better the more of the document it sees: by slots, and by how near their sum is to its own vector.

    NLL at the k-th target is k / 1000 more, so that the two places differ in a known way.
    """

    name, device = "reader", torch.device("cpu")

    def __init__(self, trained_positions: int = 8192) -> None:
        self.trained_positions = trained_positions
        self.windows = []

    def embed(self, ids):
        return TABLE[torch.as_tensor(ids)]

    def log_likelihood(self, embeddings, positions, target_ids):
        assert len(embeddings) == len(positions)
        assert (np.diff(positions) > 0).all()
        self.windows.append((embeddings, positions, target_ids))
        loss = 4.0 / np.sqrt(len(embeddings)) + 0.01 * float(embeddings.mean(0).norm())
        return -(loss + torch.arange(len(target_ids)) / 1000)


def make_documents(*domains: str, n_tokens: int = 3000) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return {domain: [rng.integers(0, VOCAB, n_tokens) for _ in range(3)] for domain in domains}


def by(rows, **wanted):
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def report():
    config = SubstitutionConfig(n_blocks=(4, 32), n_windows=5, lods=(1, 2))
    return measure_substitution(Reader(), NET, make_documents("narrative", "code"), config)


def test_every_variant_has_a_row_at_every_place(report):
    assert len(report.rows) == 2 * 3 * 2 * 6
    assert {(r.lod, r.n_blocks) for r in report.rows} == {(1, 4), (1, 32), (2, 32)}
    assert {r.variant for r in report.rows} == {"full", "drop", "mean", "rarest", "gist", "wrong"}
    assert {(r.domain, r.horizon) for r in report.rows} == {("narrative", 64), ("code", 128)}
    assert all(r.n == 5 for r in report.rows)


def test_r_compares_with_full_and_dropped_text(report):
    key = {"domain": "code", "lod": 1, "n_blocks": 4, "place": "hard"}
    full, drop, gist = (by(report.rows, **key, variant=v).nll for v in ("full", "drop", "gist"))
    row = by(report.rows, **key, variant="gist")
    assert full < gist < drop
    assert row.r == pytest.approx(1 - (gist - full) / (drop - full))
    assert row.r_se > 0
    assert by(report.rows, **key, variant="full").r is None


def test_the_gap_lies_96_tokens_on(report):
    key = {"domain": "narrative", "lod": 1, "n_blocks": 4, "variant": "drop"}
    hard, gap = (by(report.rows, **key, place=place).nll for place in ("hard", "gap"))
    assert gap - hard == pytest.approx((GAP_TOKENS - 1) / 1000, abs=1e-5)


def test_full_and_dropped_are_the_same_for_every_level(report):
    key = {"domain": "code", "n_blocks": 32, "place": "gap"}
    for variant in ("full", "drop"):
        assert by(report.rows, **key, lod=1, variant=variant).nll == by(report.rows, **key, lod=2, variant=variant).nll


def test_content_is_the_difference_of_right_and_wrong(report):
    key = {"domain": "code", "lod": 2, "place": "hard"}
    right, wrong = (by(report.rows, **key, variant=v).r for v in ("gist", "wrong"))
    assert by(report.content, **key).value == pytest.approx(right - wrong)
    assert by(report.content, **key).se > 0


def test_harm_is_gist_less_drop(report):
    means = [
        np.mean([r.nll for r in report.rows if (r.lod, r.n_blocks, r.variant) == (1, 4, v)]) for v in ("gist", "drop")
    ]
    assert by(report.harm, lod=1, n_blocks=4).value == pytest.approx(means[0] - means[1])


def test_the_report_is_json_and_depends_on_the_seed_alone(report):
    def measure(seed):
        config = SubstitutionConfig(n_blocks=(4,), n_windows=2, lods=(1,), seed=seed)
        return json.dumps(measure_substitution(Reader(), NET, make_documents("code"), config).to_json())

    assert measure(1) == measure(1) != measure(2)
    assert set(report.to_json()) == {"rows", "content", "harm"}


def test_what_the_reader_is_shown():
    reader = Reader()
    ids = np.arange(VOCAB)
    documents = {"narrative": [np.concatenate([ids, ids[:30]])] * 2}
    measure_substitution(reader, NET, documents, SubstitutionConfig(n_blocks=(2,), n_windows=1, lods=(1,)))
    drop, full, mean, rarest, gist, wrong = reader.windows
    first = int(full[2][0]) - 66
    window = TABLE[torch.arange(first, first + 66) % VOCAB]
    torch.testing.assert_close(full[0], window)
    torch.testing.assert_close(drop[0], window[[0, 65]])
    torch.testing.assert_close(mean[0][1:3], window[1:65].view(2, 32, WIDTH).mean(1))
    torch.testing.assert_close(rarest[0][1:3], window[[32, 64]])
    torch.testing.assert_close(gist[0][1:3], NET(window[1:65].view(2, 32, WIDTH), None, 1))
    assert not torch.equal(gist[0], wrong[0])
    assert all(len(targets) == GAP_TOKENS - 1 + 64 for _, _, targets in reader.windows)
    assert full[1].tolist() == list(range(66))
    assert drop[1].tolist() == [0, 65]
    assert gist[1].tolist() == [0, 16, 48, 65]


def test_where_the_full_text_does_not_fit_harm_is_measured_all_the_same():
    config = SubstitutionConfig(n_blocks=(16,), n_windows=2, lods=(1,))
    report = measure_substitution(Reader(trained_positions=400), NET, make_documents("narrative"), config)
    assert "full" not in {row.variant for row in report.rows}
    assert all(row.r is None for row in report.rows)
    assert report.content == []
    assert len(report.harm) == 1


def test_a_level_whose_nodes_do_not_tile_the_blocks_is_left_out():
    config = SubstitutionConfig(n_blocks=(4,), n_windows=1, lods=(1, 2))
    report = measure_substitution(Reader(), NET, make_documents("code"), config)
    assert {row.lod for row in (*report.rows, *report.content, *report.harm)} == {1}


def test_progress_is_told():
    told = []
    config = SubstitutionConfig(n_blocks=(4,), n_windows=2, lods=(1,))
    documents = make_documents("code", "narrative")
    measure_substitution(Reader(), NET, documents, config, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_too_few_long_documents_are_refused():
    documents = make_documents("code")
    documents["code"][1:] = [ids[:200] for ids in documents["code"][1:]]
    with pytest.raises(UsageError, match="replacing 4 blocks needs two documents of 353 tokens, code has 1"):
        measure_substitution(Reader(), NET, documents, SubstitutionConfig(n_blocks=(4,)))


def test_a_domain_without_a_horizon_is_refused():
    with pytest.raises(UsageError, match="domain verse has no horizon"):
        measure_substitution(Reader(), NET, make_documents("verse"))


@pytest.mark.parametrize(
    "setting", [{"n_blocks": ()}, {"n_blocks": (0,)}, {"lods": (5,)}, {"n_windows": 0}, {"horizons": {"code": 0}}]
)
def test_nonsense_settings_are_refused(setting):
    with pytest.raises(UsageError):
        SubstitutionConfig(**setting)
