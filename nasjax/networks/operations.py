"""The candidate operations of DARTS-like cells (Liu et al., 2019) by name.

Separable convolutions are ReLU-depthwise-pointwise-BN applied twice, dilated ones the
same applied once with dilation 2; a stride acts in the first depthwise convolution.
Pooling is followed by BN, so that the outputs of all operations are comparable. The
identity becomes a factorized reduction (ReLU, two pointwise convolutions, BN) where the
stride is 2.
"""

import dataclasses

NONE = "none"
SKIP = "skip_connect"
MAX_POOL = "max_pool_3x3"
AVG_POOL = "avg_pool_3x3"
POOLS = (MAX_POOL, AVG_POOL)


@dataclasses.dataclass(frozen=True)
class ConvOperation:
    """A chain of ReLU-depthwise-pointwise-BN stages.

    Attributes:
      kernel_size: side of the depthwise kernel.
      dilation: distance of its taps.
      stages: how often the chain is applied.
    """

    kernel_size: int
    dilation: int
    stages: int


CONVOLUTIONS = {
    "sep_conv_3x3": ConvOperation(3, 1, 2),
    "sep_conv_5x5": ConvOperation(5, 1, 2),
    "dil_conv_3x3": ConvOperation(3, 2, 1),
    "dil_conv_5x5": ConvOperation(5, 2, 1),
}

OPERATIONS = (*CONVOLUTIONS, MAX_POOL, AVG_POOL, SKIP, NONE)
"""Every name a cell understands; the thesis uses all but `none`."""
