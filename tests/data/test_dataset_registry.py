"""Loading by name: unknown names and options, and folders that were not given."""

import subprocess
import sys

import pytest

from nasjax import data
from nasjax.core.errors import ConfigError


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"'cifar_10' \(did you mean 'cifar10'\?\)"):
        data.load("cifar_10")


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"'sead' \(did you mean 'seed'\?\)"):
        data.load("digits", sead=1)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet", "imagenet16"])
@pytest.mark.parametrize("options", [{}, {"dir": ""}])
def test_a_folder_must_be_given(name, options):
    with pytest.raises(ConfigError, match="--config.data.dir=PATH"):
        data.load(name, **options)


def test_importing_the_data_sets_imports_no_optional_library():
    program = (
        "import sys, nasjax.data; "
        "print(sorted({'grain', 'PIL', 'sklearn'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
