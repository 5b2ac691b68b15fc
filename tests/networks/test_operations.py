"""The table of candidate operations."""

from nasjax.networks import operations as ops


def test_the_eight_operations_of_darts():
    assert sorted(ops.OPERATIONS) == [
        "avg_pool_3x3",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "max_pool_3x3",
        "none",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "skip_connect",
    ]


def test_names_say_what_a_convolution_does():
    for name, conv in ops.CONVOLUTIONS.items():
        kind, _, size = name.split("_")
        assert size == f"{conv.kernel_size}x{conv.kernel_size}"
        separable = kind == "sep"
        assert (conv.stages, conv.dilation) == ((2, 1) if separable else (1, 2))
