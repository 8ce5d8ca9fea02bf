"""Every YAML file of the repository builds, under PaddleSeg's own builder as it is, and its losses fit its outputs."""

from __future__ import annotations

import json
from pathlib import Path

import paddle
import pytest
import yaml
from paddleseg.cvlibs import Config, SegBuilder, manager
from paddleseg.cvlibs.config import parse_from_yaml

from paddleseg_ext import Builder, UserError, build_model, load_config
from tests.conftest import TinyBackbone

CONFIGS = Path(__file__).parents[1] / "configs"
LEAVES = sorted(path for path in CONFIGS.rglob("*.yml") if "_base_" not in path.parts)
MODELS = sorted((CONFIGS / "_base_" / "models").glob("*.yml"))


def tiny(**keywords: object) -> TinyBackbone:
    """Stands for the backbone of a configuration; the heads are built in full width over few channels."""
    return TinyBackbone(keywords.get("output_stride", 32))


@pytest.fixture
def tiny_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ResNet18_vd", "ResNet50_vd", "ResNet101_vd", "ResNet50_v1c", "ResNet101_v1c", "EfficientNet_lite0"):
        monkeypatch.setitem(manager.BACKBONES.components_dict, name, tiny)


@pytest.fixture(scope="module")
def built() -> dict[str, list[str]]:
    """Outputs of networks that were built, by their section less the backbone's name and weights, and data set."""
    return {}


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_builds_under_paddlesegs_own_builder(path: Path, tiny_backbones: None, built: dict[str, list[str]]) -> None:
    """Networks that differ in what the tiny backbone replaces are built once."""
    config = Config(str(path))
    builder = SegBuilder(config)
    backbone = {key: value for key, value in config.model_cfg["backbone"].items() if key not in ("type", "pretrained")}
    data = config.train_dataset_cfg["type"]  # has the number of classes
    network = json.dumps([{**config.model_cfg, "backbone": backbone}, data], sort_keys=True)
    if network in built:
        vars(builder)["model"] = paddle.nn.Linear(1, 1)  # for the optimizer; a cached property
    names = built.setdefault(network, getattr(builder.model, "output_names", []))
    loss = builder.loss
    assert len(loss["types"]) == len(loss["coef"]) == len(names) > 0
    for name, term in zip(names, loss["types"]):
        assert (type(term).__name__ == "SECrossEntropyLoss") == (name == "se")
    assert builder.optimizer.get_lr() > 0


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_is_short_and_named_for_what_it_holds(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 15
    if path.parent.name == "quickstart":
        return
    config = load_config(path)
    backbone = config.model_cfg["backbone"]
    crop = next(t["crop_size"] for t in config.train_dataset_cfg["transforms"] if "crop_size" in t)
    iters = str(config.iters) if config.iters % 1000 else f"{config.iters // 1000}k"
    dataset = config.train_dataset_cfg["type"].lower()
    expected = f"{backbone['type'].lower()}_os{backbone['output_stride']}_{dataset}_{crop[0]}x{crop[1]}_{iters}"
    published = next((suffix for suffix in ("_paddleseg", "_official") if path.stem.endswith(suffix)), "")
    assert path.stem.endswith(expected + published)
    align_corners = config.model_cfg.get("align_corners", False)
    if published == "_official":
        assert align_corners
    elif not published:  # PaddleSeg's own networks pair them in other ways, too
        assert align_corners == (crop[0] % 8 == 1)


def test_every_network_has_its_configurations() -> None:
    networks = ["deeplabv3plus", "pspnet", "dmnet", "fastfcn", "encnet", "ccnet"]
    names = {path.stem for path in LEAVES}
    for net in networks:
        stride = 32 if net == "fastfcn" else 8
        for depth in (50, 101):
            for data in ("cityscapes_1024x512_80k", "cityscapes_769x769_80k", "ade20k_512x512_160k"):
                assert f"{net}_resnet{depth}_vd_os{stride}_{data}" in names
        quickstarts = {p.stem for p in LEAVES if p.parent.name == "quickstart"}
        assert {net, f"{net}_from_noise"} <= quickstarts
        assert any(name.startswith(net) and name.endswith("_paddleseg") for name in names)


def test_every_published_network_of_mmsegmentation_has_its_configuration() -> None:
    names = {path.stem for path in LEAVES}
    for net in ("deeplabv3plus", "pspnet", "dmnet", "encnet", "ccnet"):
        for depth in (50, 101):
            for data in ("cityscapes_1024x512_80k", "cityscapes_769x769_80k", "ade20k_512x512_160k"):
                assert f"{net}_resnet{depth}_v1c_os8_{data}" in names
    for head in ("enc", "psp", "aspp"):
        for data in ("cityscapes_1024x512_80k", "ade20k_512x512_160k"):
            assert f"fastfcn_{head}_resnet50_v1c_os32_{data}" in names


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_model_bases_train_and_evaluate(path: Path) -> None:
    """The variants too, on the real data flow of a step, at a tenth of their width."""
    section = parse_from_yaml(str(path))

    def narrow(node: object) -> object:
        if isinstance(node, dict):
            return {k: max(4, v // 32) if k.endswith("channels") else narrow(v) for k, v in node.items()}
        return [narrow(item) for item in node] if isinstance(node, list) else node

    model_config = narrow(section["model"]) | {"num_classes": 4, "backbone": {"type": "TinyBackboneForConfigs"}}
    manager.BACKBONES.components_dict["TinyBackboneForConfigs"] = tiny
    try:
        config = type("C", (), {"dic": {}})
        model = Builder(config).build_component(model_config)
    finally:
        del manager.BACKBONES.components_dict["TinyBackboneForConfigs"]
    x, label = paddle.randn([2, 3, 65, 97]), paddle.randint(0, 4, [2, 65, 97])
    losses = [Builder(config).build_component(term) for term in section["loss"]["types"]]
    total = sum(c * loss(out, label) for c, loss, out in zip(section["loss"]["coef"], losses, model(x)))
    total.backward()
    assert float(total) > 0
    model.eval()
    assert [out.shape for out in model(x)] == [[2, 4, 65, 97]]


def write(tmp_path: Path, change: dict) -> Path:
    """A small valid configuration with changes in its model section."""
    content = {
        "batch_size": 2,
        "iters": 10,
        "train_dataset": {
            "type": "CamVid",
            "dataset_root": str(tmp_path / "nowhere"),
            "mode": "train",
            "transforms": [],
        },
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        "model": {
            "type": "EncoderDecoder",
            "backbone": {"type": "ResNet18_vd"},
            "decode_head": {"type": "PSPHead", "channels": 16},
            **change,
        },
    }
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"decode_head": {"type": "PSPHead", "bin_size": [1]}},
            "PSPHead: unknown argument 'bin_size'; did you mean 'bin_sizes'",
        ),
        (
            {"decode_head": {"type": "PSPHaed"}},
            "model.decode_head.type: unknown type 'PSPHaed'; did you mean 'PSPHead'",
        ),
        ({"decode_head": {"type": "PSPHead", "in_channels": 8}}, "PSPHead: 'in_channels' cannot be set here"),
        ({"decode_head": {"type": "PSPHead", "in_index": 7}}, "in_index=7 but the backbone gives 4 feature maps"),
        ({"decode_head": 3}, "model.decode_head: 3 is not allowed; it is a section with a type"),
        (
            {"decodehead": {"type": "PSPHead"}},
            "EncoderDecoder: unknown argument 'decodehead'; did you mean 'decode_head'",
        ),
        ({"backbone": {"type": "ResNet18_vd", "outputstride": 8}}, "ResNet18_vd: unknown argument 'outputstride'"),
        ({"backbone": {"type": "ResNet18_vd", "pretrained": "no/such.pdparams"}}, r"no/such\.pdparams is not a file"),
        ({"pretrained": "no/such.pdparams"}, r"no/such\.pdparams is not a file"),
        (
            {"decode_head": {"type": "FastFCNHead", "head": {"type": "EncHead", "code": 3}}},
            "EncHead: unknown argument 'code'",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as info:
        build_model(write(tmp_path, change))
    assert "\n" not in str(info.value)


def test_missing_data_set_names_its_folder(tmp_path: Path) -> None:
    builder = Builder(load_config(write(tmp_path, {})))
    with pytest.raises(UserError, match="train_dataset: .*nowhere"):
        _ = builder.train_dataset


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "config.yml: there is no such file, and no configuration of that name"),
        ("a: [", "not valid YAML"),
        ("iters: 3", "No batch_size specified"),
        ("- 1", "config.yml"),
    ],
)
def test_unusable_files(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "config.yml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_config(path)


def test_base_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("_base_: other.yml\n")
    with pytest.raises(UserError, match=r"its _base_ file .*other\.yml does not exist"):
        load_config(path)
    path.write_text("_base_: quickstart/pspnte\n")
    with pytest.raises(UserError, match=r"does not exist, and no .* did you mean 'quickstart/pspnet'"):
        load_config(path)


def test_bases_are_found_by_name_and_by_path_first(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("_base_: quickstart/pspnet\niters: 7\n")
    config, base = load_config(path), load_config("quickstart/pspnet")
    assert config.iters == 7 and config.dic["model"] == base.dic["model"]
    pieces = ("models/dmnet", "backbones/resnet18_vd_os8", "datasets/camvid_240x180", "schedules/sgd_400")
    path.write_text(yaml.safe_dump({"_base_": [f"_base_/{piece}" for piece in pieces]}))
    assert load_config(path).dic["model"]["decode_head"]["type"] == "DMHead"
    own = tmp_path / "quickstart" / "pspnet"
    own.parent.mkdir()
    own.write_text("_base_: quickstart/ccnet\n")
    path.write_text("_base_: quickstart/pspnet\n")
    assert load_config(path).dic["model"]["decode_head"]["type"] == "CCHead"


@pytest.mark.parametrize(
    "path", [p for p in LEAVES if "paddleseg" in p.stem or "_v1c_" in p.stem], ids=lambda p: p.stem
)
def test_colors_are_scaled_as_where_the_weights_come_from(path: Path) -> None:
    """PaddleSeg trains on -1 … 1, CCNet's code on 0 … 255 less a mean, all others on ImageNet's mean and deviation.

    Another lowers mIoU silently.
    """
    config = load_config(path)
    mean = [0.5, 0.5, 0.5] if "paddleseg" in path.stem else [0.485, 0.456, 0.406]
    if path.stem.startswith("ccnet") and path.stem.endswith("_official"):
        mean = [0.48109, 0.45752, 0.40787]  # 122.679, 116.669 and 104.007 of 255
    for section in (config.train_dataset_cfg, config.val_dataset_cfg):
        assert [step["mean"] for step in section["transforms"] if "mean" in step] == [mean]
