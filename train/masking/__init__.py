"""What is hidden from a network that learns by filling in what it cannot see.

In: a recipe as text, pictures of one size, and where known their foreground and joints.  Out: soft
masks (1 = hidden) and pictures in which the hidden part is filled.  `train/masking/grammar.py` has
the grammar.
"""

from train.masking.context import MaskContext, Masks
from train.masking.crop import Crop, Views
from train.masking.grammar import read_recipe
from train.masking.recipe import RECIPES, MaskRecipe
from train.masking.sight import fill

__all__ = [
    "RECIPES",
    "Crop",
    "MaskContext",
    "MaskRecipe",
    "Masks",
    "Views",
    "fill",
    "read_recipe",
]
