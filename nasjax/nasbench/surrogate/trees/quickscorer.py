"""Trees turned into tables of leaf bit masks, on the host, with numpy.

After Lucchese et al. (2015, QuickScorer): instead of walking down a tree, every split
crosses out the leaves on its wrong side, and the leaf that is left is the answer. The
splits of one feature compare it with a finite number of thresholds, so that its values
fall into intervals, its *codes*, and all splits of that feature in all trees together
cross out what one precomputed row of bits says. A prediction is the AND of one row a
feature. Here a split crosses out the leaves on either side (QuickScorer: on the left
only), so that exactly one bit is left. That allows to cut a tree with many leaves into
*blocks* of consecutive leaves: a block with no bit left adds nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nasjax.nasbench.surrogate.trees import tree_arrays
from nasjax.nasbench.surrogate.trees.tree_arrays import Trees

MAX_BYTES = 8
"""The widest mask; then a block has 64 leaves and one that needs no bit."""
BLOCK_COST = 4
"""What looking up one leaf value costs next to the AND of one byte of all masks."""
MAX_ROWS = 1024
"""A feature with more codes than this is kept as pieces (`Pieces`), not as rows."""
JOINT_ROWS = 64
"""Features are coded jointly as long as their joint codes are at most this many."""


class Blocks(NamedTuple):
    """Trees cut into U blocks of at most `8 W` leaves, which a mask of W bytes tells.

    Attributes:
      num_bytes: W.
      value: float64 `[U, 1 + 8W]`, what a block adds when no bit is left, then for
        each bit.
      valid: uint64 `[U]`, the bits that stand for leaves.
      feature: int64 `[P]`, of a split that crosses out leaves of a block.
      node: int64 `[P]`, its number.
      block: int64 `[P]`, ascending.
      if_left: uint64 `[P]`, the mask if the split sends x to the left.
      if_right: uint64 `[P]`.
    """

    num_bytes: int
    value: np.ndarray
    valid: np.ndarray
    feature: np.ndarray
    node: np.ndarray
    block: np.ndarray
    if_left: np.ndarray
    if_right: np.ndarray


class Codes(NamedTuple):
    """How the values of one feature are coded: by the number of cuts below them.

    Attributes:
      column: of the input.
      cuts: float32 or float64 `[C]`, ascending; code c is cuts[c - 1] < x <= cuts[c].
      nan_code: of a missing value: one of the codes, or C + 1.
      masks: unsigned `[C + 1 or C + 2, U]`, the leaves that a code leaves, or None
        where there are more than `MAX_ROWS`.
      pieces: where `masks` is None.
    """

    column: int
    cuts: np.ndarray
    nan_code: int
    masks: np.ndarray | None
    pieces: "Pieces | None"


class Pieces(NamedTuple):
    """The masks of one feature and each block as a step function of the code.

    Attributes:
      start: int32 `[K, U]`, the first code of a piece, ascending; unused: a large one.
      masks: uint64 `[K, U]`.
    """

    start: np.ndarray
    masks: np.ndarray


def cut_into_blocks(trees: Trees) -> Blocks:
    """Numbers leaves from left to right and cuts trees where masks get too wide.

    Of the widths up to `MAX_BYTES` the cheapest is taken: a block costs as much as its
    mask and `BLOCK_COST` bytes of mask more. A tree with one leaf more than bits stays
    whole: its last leaf is what no bit means.
    """
    num_leaves = trees.num_leaves.astype(np.int64)

    def num_blocks(num_bytes: int) -> np.ndarray:
        whole = num_leaves <= 8 * num_bytes + 1
        return np.where(whole, 1, -(-num_leaves // (8 * num_bytes)))

    widths = range(1, MAX_BYTES + 1)
    num_bytes = min(widths, key=lambda w: (w + BLOCK_COST) * int(num_blocks(w).sum()))
    width, count = 8 * num_bytes, num_blocks(num_bytes)
    first_block = np.cumsum(count) - count
    begin, middle, end, rank = _leaf_ranges(trees)

    tree = np.repeat(np.arange(len(num_leaves)), num_leaves)
    number = np.where(count[tree] == 1, 0, rank // width)
    bit = rank - number * width
    slot = np.where(bit < width, bit + 1, 0)
    value = np.zeros((count.sum(), 1 + width))
    value[first_block[tree] + number, slot] = trees.value
    present = np.zeros_like(value, bool)
    present[first_block[tree] + number, slot] = True
    valid = np.where(
        present[:, 1:], np.uint64(1) << np.arange(width, dtype=np.uint64), 0
    )

    # One record for each split and each block that it has leaves in.
    tree = trees.tree_of_node
    low = np.where(count[tree] == 1, 0, begin // width)
    high = np.where(count[tree] == 1, 0, (end - 1) // width)
    node = np.repeat(np.arange(len(begin)), high - low + 1)
    before = np.cumsum(high - low + 1) - (high - low + 1)
    number = np.arange(len(node)) - before[node] + low[node]
    order = np.argsort(first_block[tree[node]] + number, kind="stable")
    node, number = node[order], number[order]
    start = number * width
    leaves_left = _bits(begin[node] - start, middle[node] - start, width)
    leaves_right = _bits(middle[node] - start, end[node] - start, width)
    return Blocks(
        num_bytes=num_bytes,
        value=value,
        valid=np.bitwise_or.reduce(valid.astype(np.uint64), axis=1),
        feature=trees.feature[node].astype(np.int64),
        node=node,
        block=first_block[tree[node]] + number,
        if_left=~leaves_right,
        if_right=~leaves_left,
    )


def _leaf_ranges(
    trees: Trees,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each inner node the leaves below it from left to right: those from `begin` to
    before `middle` are on its left side, to before `end` on its right; and the rank of
    each leaf."""
    left, right = trees.children
    num_nodes = len(left)
    # Leaf number l is stored at -1 - l, at the end of the array.
    count = np.ones(num_nodes + len(trees.value), np.int64)
    begin = np.zeros_like(count)
    for level in reversed(trees.levels):
        count[level] = count[left[level]] + count[right[level]]
    for level in trees.levels:
        begin[left[level]] = begin[level]
        begin[right[level]] = begin[level] + count[left[level]]
    nodes = np.arange(num_nodes)
    middle = begin[nodes] + count[left]
    return begin[nodes], middle, begin[nodes] + count[nodes], begin[num_nodes:][::-1]


def _bits(low: np.ndarray, high: np.ndarray, width: int) -> np.ndarray:
    """uint64 with the bits from `low` to before `high`, as far as they are below
    `width`."""
    ladder = np.array([(1 << n) - 1 for n in range(width + 1)], np.uint64)
    bits: np.ndarray = ladder[np.clip(high, 0, width)] & ~ladder[np.clip(low, 0, width)]
    return bits


def code_features(trees: Trees, blocks: Blocks, dtype: np.dtype) -> list[Codes]:
    """Codes and masks of every feature that some split tests, by column."""
    plain = _is_plain(trees)
    codes = [*_plain_codes(trees, blocks, dtype, plain)]
    done = {code.column for code in codes}
    others = [c for c in np.unique(blocks.feature).tolist() if c not in done]
    codes += [_code(trees, blocks, dtype, column) for column in others]
    return sorted(codes, key=lambda code: code.column)


def _code(trees: Trees, blocks: Blocks, dtype: np.dtype, column: int) -> Codes:
    """Of any feature, by what each of its splits decides on a value of each code."""
    pairs = np.flatnonzero(blocks.feature == column)
    nodes, node_of_pair = np.unique(blocks.node[pairs], return_inverse=True)
    cuts = _cuts(trees, nodes, dtype)
    values = np.concatenate([cuts, _after(cuts), [np.nan]]).astype(np.float64)
    goes_left = decide(trees, nodes, values)
    same = (goes_left[:, :-1] == goes_left[:, -1:]).all(axis=0)
    nan_code = len(cuts) + 1
    if same.any():
        nan_code, goes_left = int(np.argmax(same)), goes_left[:, :-1]
    masks, pieces = None, None
    if goes_left.shape[1] <= MAX_ROWS:
        masks = _masks(blocks, pairs, goes_left[node_of_pair])
    else:
        pieces = _pieces(blocks, pairs, goes_left, node_of_pair)
    return Codes(column, cuts, nan_code, masks, pieces)


def _is_plain(trees: Trees) -> np.ndarray:
    """bool `[M]`: splits that compare with a finite threshold, a missing value as 0."""
    rule = trees.kind >> tree_arrays.MISSING_SHIFT
    categorical = (trees.kind & tree_arrays.CATEGORICAL) != 0
    plain: np.ndarray = ~categorical & (rule == tree_arrays.NAN_IS_ZERO)
    plain &= np.isfinite(trees.threshold)
    return plain


def _plain_codes(
    trees: Trees, blocks: Blocks, dtype: np.dtype, plain: np.ndarray
) -> Iterator[Codes]:
    """The codes of all features whose splits are all plain, in one go.

    A plain split goes left up to a cut, so the masks of successive codes are running
    ANDs: of the left masks from the last cut down, of the right ones from the first up.
    """
    is_plain = np.ones(trees.num_features, bool)
    is_plain[trees.feature[~plain]] = False
    nodes = np.flatnonzero(is_plain[trees.feature])
    if not len(nodes):
        return
    cut_of_node, cuts_of = _plain_cuts(trees, nodes, dtype)
    columns = [c for c, cuts in cuts_of.items() if len(cuts) < MAX_ROWS]
    sizes = np.array([len(cuts_of[column]) + 1 for column in columns], int)
    first = np.zeros(trees.num_features, np.int64)
    first[columns] = np.cumsum(sizes) - sizes
    used = np.zeros(trees.num_features, bool)
    used[columns] = True
    pairs = np.flatnonzero(used[blocks.feature])
    num_blocks, kind = len(blocks.valid), _unsigned(blocks.num_bytes)
    row = first[blocks.feature[pairs]] + cut_of_node[blocks.node[pairs]]
    place = row * num_blocks + blocks.block[pairs]
    order = np.argsort(place, kind="stable")
    place, pairs = place[order], pairs[order]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    shape = (int(sizes.sum()), num_blocks)
    left, right = (np.full(shape, np.iinfo(kind).max, kind) for _ in range(2))
    for table, masks, shift in (
        (left, blocks.if_left, 0),
        # A split sends codes behind its cut to the right.
        (right, blocks.if_right, num_blocks),
    ):
        met = np.bitwise_and.reduceat(masks[pairs].astype(kind), starts)
        table.reshape(-1)[place[starts] + shift] = met
    for begin, size in zip(first[columns].tolist(), sizes.tolist(), strict=True):
        if size > 2:
            own = left[begin : begin + size][::-1]
            np.bitwise_and.accumulate(own, axis=0, out=own)
            own = right[begin : begin + size]
            np.bitwise_and.accumulate(own, axis=0, out=own)
    left &= right
    left &= blocks.valid.astype(kind)[None]
    for column, size in zip(columns, sizes.tolist(), strict=True):
        cuts, begin = cuts_of[column], first[column]
        nan_code = int(np.searchsorted(cuts, 0.0))
        yield Codes(column, cuts, nan_code, left[begin : begin + size], None)


def _plain_cuts(
    trees: Trees, nodes: np.ndarray, dtype: np.dtype
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Which cut of its feature each node is, int64 `[M]`, and the cuts by column."""
    feature = trees.feature[nodes]
    rounded = round_down(trees.threshold[nodes], dtype)
    order = np.lexsort((rounded, feature))
    feature, rounded = feature[order], rounded[order]
    starts_feature = np.diff(feature, prepend=-1) != 0
    is_new = starts_feature.copy()
    is_new[1:] |= rounded[1:] != rounded[:-1]
    number = np.cumsum(is_new) - 1
    begin = np.maximum.accumulate(np.where(starts_feature, number, 0))
    cut = np.zeros(len(trees.feature), np.int64)
    cut[nodes[order]] = number - begin
    ends = np.flatnonzero(starts_feature[is_new])[1:]
    columns = feature[starts_feature].tolist()
    return cut, dict(zip(columns, np.split(rounded[is_new], ends), strict=True))


def _unsigned(num_bytes: int) -> np.dtype:
    """The smallest unsigned type of at least so many bytes."""
    return np.dtype(f"u{1 << (num_bytes - 1).bit_length()}")


def decide(trees: Trees, nodes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """bool `[n, V]`: whether each of n nodes sends each of V values to the left."""
    kind = trees.kind[nodes, None]
    missing_rule = kind >> tree_arrays.MISSING_SHIFT
    nan = np.isnan(values)[None]
    filled = np.where(np.isnan(values), 0.0, values)
    zero = (np.abs(filled) <= tree_arrays.ZERO_BAND)[None]
    missing = np.where(missing_rule == tree_arrays.NAN_IS_MISSING, nan, False)
    missing |= (missing_rule == tree_arrays.ZERO_IS_MISSING) & zero
    goes_left = filled[None] <= trees.threshold[nodes, None]
    categorical = (trees.kind[nodes] & tree_arrays.CATEGORICAL) != 0
    negative = filled < 0 if trees.library == tree_arrays.XGBOOST else filled <= -1
    whole = np.where(negative | np.isinf(filled), -1, np.trunc(filled))
    for i in np.flatnonzero(categorical):
        number = int(trees.threshold[nodes[i]])
        begin, end = trees.set_start[number : number + 2]
        goes_left[i] = np.isin(whole, trees.set_members[begin:end])
        missing[i] = nan[0]
    default_left = (kind & tree_arrays.DEFAULT_LEFT) != 0
    return np.where(missing, default_left, goes_left)


def _cuts(trees: Trees, nodes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Where the decision of some node may change, rounded down to `dtype`.

    For a float32 x, x <= t and x <= t' are the same when t' is the largest float32 that
    is not above t.
    """
    categorical = (trees.kind[nodes] & tree_arrays.CATEGORICAL) != 0
    cuts = [trees.threshold[nodes[~categorical]]]
    rules = trees.kind[nodes[~categorical]] >> tree_arrays.MISSING_SHIFT
    band = tree_arrays.ZERO_BAND
    if (rules == tree_arrays.ZERO_IS_MISSING).any():
        cuts.append(np.array([np.nextafter(-band, -np.inf), band]))
    for number in np.unique(trees.threshold[nodes[categorical]]).astype(int):
        members = trees.set_members[slice(*trees.set_start[number : number + 2])]
        zero = -1.0 if trees.library == tree_arrays.LIGHTGBM else np.nextafter(0, -1)
        below = np.nextafter(members.astype(np.float64), -np.inf)
        cuts.append(np.where(members == 0, zero, below))
        cuts.append(np.nextafter(members + 1.0, -np.inf))
    return np.unique(round_down(np.concatenate(cuts), dtype))


def round_down(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The largest numbers of `dtype` that are not above; none of them subnormal, which
    compiled code takes for zero."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = numbers.astype(dtype)
        below = np.nextafter(rounded, dtype.type(-np.inf))
    rounded = np.where(rounded > numbers, below, rounded)
    tiny = np.finfo(dtype).tiny
    subnormal = (np.abs(rounded) < tiny) & (rounded != 0)
    return np.where(subnormal, np.where(rounded < 0, -tiny, 0), rounded).astype(dtype)


def _after(cuts: np.ndarray) -> np.ndarray:
    """`[1]`, a value behind the last cut, of the same category if there are any."""
    if not len(cuts):
        return np.zeros(1, cuts.dtype)
    with np.errstate(over="ignore"):
        after = np.nextafter(cuts[-1:], cuts.dtype.type(np.inf))
    tiny = np.finfo(cuts.dtype).tiny
    subnormal = (np.abs(after) < tiny) & (after != 0)
    return np.where(subnormal, np.where(after < 0, 0, tiny), after).astype(cuts.dtype)


def _masks(blocks: Blocks, pairs: np.ndarray, goes_left: np.ndarray) -> np.ndarray:
    """Unsigned `[codes, U]`, the AND over the splits of each block."""
    masks = np.where(goes_left.T, blocks.if_left[pairs], blocks.if_right[pairs])
    block = blocks.block[pairs]
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    table = np.repeat(blocks.valid[None], masks.shape[0], axis=0)
    table[:, block[starts]] &= np.bitwise_and.reduceat(masks, starts, axis=1)
    return table.astype(_unsigned(blocks.num_bytes))


def _pieces(
    blocks: Blocks, pairs: np.ndarray, goes_left: np.ndarray, node_of_pair: np.ndarray
) -> Pieces:
    """As `_masks`, one block at a time, keeping the codes at which the mask changes."""
    block = blocks.block[pairs]
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    steps = []
    for begin, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        own = pairs[begin:end]
        left = goes_left[node_of_pair[begin:end]]
        masks = np.where(left, blocks.if_left[own, None], blocks.if_right[own, None])
        masks = np.bitwise_and.reduce(masks, axis=0) & blocks.valid[block[begin]]
        start = np.flatnonzero(np.concatenate([[True], masks[1:] != masks[:-1]]))
        steps.append((block[begin], start, masks[start]))
    most = max(len(start) for _, start, _ in steps)
    num_blocks = len(blocks.valid)
    pieces = Pieces(
        start=np.full((most, num_blocks), np.iinfo(np.int32).max, np.int32),
        masks=np.repeat(blocks.valid[None], most, axis=0),
    )
    for number, start, masks in steps:
        pieces.start[: len(start), number] = start
        pieces.masks[: len(start), number] = masks
    return pieces


def joined(codes: list[Codes], most: int = JOINT_ROWS) -> list[list[int]]:
    """Groups of features whose joint codes are at most `most`, or single ones."""
    groups: list[list[int]] = []
    size = 0
    for i in sorted(range(len(codes)), key=lambda i: len(codes[i].cuts)):
        masks = codes[i].masks
        if masks is None:
            continue
        if groups and size * len(masks) <= most:
            groups[-1].append(i)
            size *= len(masks)
        else:
            groups.append([i])
            size = len(masks)
    return groups


def joint_masks(tables: Sequence[np.ndarray], out: np.ndarray) -> None:
    """The AND of rows of several features, one of each, in every combination.

    Args:
      tables: uint8 `[codes, ...]` of each feature.
      out: uint8 `[R, ...]`, R the product of the numbers of codes; the code of the last
        feature counts fastest.
    """
    whole = tables[0]
    for table in tables[1:-1]:
        whole = (whole[:, None] & table[None]).reshape(-1, *table.shape[1:])
    if len(tables) == 1:
        out[...] = whole
    else:
        joint = out.reshape(len(whole), *tables[-1].shape)
        np.bitwise_and(whole[:, None], tables[-1][None], out=joint)
