"""What a search does in the terms of an encoding: draw, change, compare.

For example:

    import jax
    from nasjax import encoders, search
    from nasjax.encoders import subroutines

    made = subroutines.make("path_one_hot", "nasbench201")
    print(made.perturb(jax.random.key(0), made.sample(jax.random.key(1))))
    near = encoders.respaced(made, subroutine="perturb")
    print(search.make("regularized_evolution", near))
"""

from nasjax.encoders.subroutines.making import Subroutines, make, of_table, respaced
from nasjax.encoders.subroutines.served import SUBROUTINES

__all__ = ["SUBROUTINES", "Subroutines", "make", "of_table", "respaced"]
