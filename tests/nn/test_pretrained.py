"""Hugging Face models of bits through ``save_pretrained``, ``from_pretrained``, ``onebit.save`` and ``onebit.load``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import onebit
from onebit.core.errors import OnebitWarning
from onebit.nn import quantize_, schemes
from onebit.nn.layers import Linear, Quantized, TransposedLinear

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TEXT = {"vocab_size": 11, "max_position_embeddings": 16}
IDS = torch.arange(12).reshape(2, 6) % 11
IMAGES = torch.linspace(-1, 1, 2 * 3 * 256).reshape(2, 3, 16, 16)


def bert(kind: str = "BertForSequenceClassification", **settings) -> nn.Module:
    return getattr(transformers, kind)(transformers.BertConfig(**SIZES, **TEXT, **settings))


def gpt2() -> nn.Module:
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 11, "n_positions": 16}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def bart() -> nn.Module:
    layers = {f"{side}_{name}": 1 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    config = transformers.BartConfig(d_model=8, encoder_ffn_dim=16, decoder_ffn_dim=16, **layers, **TEXT)
    return transformers.BartForConditionalGeneration(config)


def t5() -> nn.Module:
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 11}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, decoder_start_token_id=0))


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, **TEXT, num_key_value_heads=2))


def vit() -> nn.Module:
    return transformers.ViTForImageClassification(transformers.ViTConfig(**SIZES, image_size=16, patch_size=8))


def resnet() -> nn.Module:
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**sizes))


MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, Tensor]]] = {
    "bert": (bert, {"input_ids": IDS}),
    "gpt2": (gpt2, {"input_ids": IDS}),
    "bart": (bart, {"input_ids": IDS}),
    "t5": (t5, {"input_ids": IDS, "decoder_input_ids": IDS}),
    "llama": (llama, {"input_ids": IDS}),
    "vit": (vit, {"pixel_values": IMAGES}),
    "resnet": (resnet, {"pixel_values": IMAGES}),
}
# every scheme on one model, every model under one scheme that keeps nothing and one that keeps much
CASES = [("bert", scheme) for scheme in sorted(schemes.registry)]
CASES += [(name, scheme) for name in MODELS if name != "bert" for scheme in ("bnn", "biper")]


def outputs(model: nn.Module, x: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**x).logits


def trained(make: Callable[[], nn.Module], scheme, x: dict[str, Tensor]) -> nn.Module:
    """A quantized model after a step of training, in eval mode."""
    model = make()
    quantize_(model, scheme)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.train()(**x).logits.square().mean().backward()
    optimizer.step()
    return model.eval()


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_a_model_of_bits_comes_back_bit_for_bit_with_its_report(name: str, scheme: str, tmp_path):
    make, x = MODELS[name]
    model = trained(make, scheme, x)
    expected = outputs(model, x)
    model.save_pretrained(tmp_path / "folder", max_shard_size="2KB")
    assert len(list((tmp_path / "folder").glob("*.safetensors"))) > 1
    loaded, said = type(model).from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert not any(said.values())
    onebit.save(model, tmp_path / "file")
    for again in (loaded, onebit.load(tmp_path / "folder"), onebit.load(tmp_path / "file", make)):
        assert type(again) is type(model)
        assert not again.training
        assert torch.equal(outputs(again, x), expected)
        assert again.onebit_report == model.onebit_report
        assert again.config.quantization_config == model.config.quantization_config
    loaded.save_pretrained(tmp_path / "again", max_shard_size="2KB")
    assert (tmp_path / "again/config.json").read_text() == (tmp_path / "folder/config.json").read_text()


def test_what_is_loaded_can_be_trained_on_cast_and_kept_tied(tmp_path):
    model = trained(gpt2, "biper", MODELS["gpt2"][1])
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded.transformer.h[0].attn.c_attn, TransposedLinear)
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    before = {name: value.detach().clone() for name, value in loaded.named_parameters()}
    optimizer = torch.optim.SGD(loaded.train().parameters(), 0.5)
    loaded(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    kept = {name for name, value in loaded.named_parameters() if torch.equal(before[name], value)}
    assert not kept
    assert loaded.to(torch.bfloat16).eval()(input_ids=IDS).logits.dtype == torch.bfloat16
    assert loaded.float()(input_ids=IDS).logits.dtype == torch.float32


def test_the_trainer_of_transformers_takes_what_was_loaded(tmp_path):
    pytest.importorskip("accelerate")
    trained(bert, "react", MODELS["bert"][1]).save_pretrained(tmp_path / "start")
    model = onebit.load(tmp_path / "start")
    rows = [{"input_ids": ids, "labels": torch.tensor(i)} for i, ids in enumerate(IDS)]
    settings = {"report_to": [], "disable_tqdm": True, "max_steps": 2, "use_cpu": True, "save_strategy": "no"}
    arguments = transformers.TrainingArguments(tmp_path / "run", **settings)
    trainer = transformers.Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    trainer.save_model(tmp_path / "end")
    again = onebit.load(tmp_path / "end")
    assert torch.equal(outputs(again, {"input_ids": IDS}), outputs(model.eval(), {"input_ids": IDS}))


def test_a_float_checkpoint_is_quantized_while_it_is_loaded(tmp_path):
    model = bert()
    model.save_pretrained(tmp_path / "float")
    kind = transformers.AutoModelForSequenceClassification
    loaded = kind.from_pretrained(tmp_path / "float", quantization_config=onebit.OneBitConfig("react"))
    expected = quantize_(model.eval(), "react")
    assert loaded.onebit_report == expected
    assert torch.equal(outputs(loaded, {"input_ids": IDS}), outputs(model, {"input_ids": IDS}))
    loaded.save_pretrained(tmp_path / "bits")
    assert onebit.load(tmp_path / "bits").onebit_report == expected


def test_a_float_checkpoint_is_loaded_then_quantized_then_trained(tmp_path):
    bert().save_pretrained(tmp_path)
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path)
    quantize_(model, "biper")
    model.train()(input_ids=IDS, labels=torch.tensor([0, 1])).loss.backward()
    assert model.bert.encoder.layer[0].intermediate.dense.weight.grad.abs().sum() > 0


def test_the_body_of_a_model_with_a_head_keeps_its_bits_and_the_other_way_round(tmp_path):
    model = trained(bert, "xnor", {"input_ids": IDS})
    model.save_pretrained(tmp_path / "with head")
    body = transformers.AutoModel.from_pretrained(tmp_path / "with head")
    assert isinstance(body.encoder.layer[0].intermediate.dense, Linear)
    with torch.no_grad():
        assert torch.equal(body(IDS).pooler_output, model.bert(IDS).pooler_output)
    body.save_pretrained(tmp_path / "body")
    again = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "body")
    assert isinstance(again.bert.encoder.layer[0].intermediate.dense, Linear)
    assert type(again.classifier) is nn.Linear
    with torch.no_grad():
        assert torch.equal(again.bert(IDS).pooler_output, body(IDS).pooler_output)


def test_several_calls_and_a_body_quantized_alone_are_kept(tmp_path):
    model = bert()
    quantize_(model.bert, "biper", filter_fn=lambda module, path: "intermediate" in path)
    quantize_(model, schemes.dorefa(2, 3), filter_fn=lambda module, path: path.endswith("pooler.dense"))
    model.eval().save_pretrained(tmp_path)
    loaded = onebit.load(tmp_path)
    bits = [name for name, module in loaded.named_modules() if isinstance(module, Quantized)]
    assert bits == ["bert.encoder.layer.0.intermediate.dense", "bert.pooler.dense"]
    assert torch.equal(outputs(loaded, {"input_ids": IDS}), outputs(model, {"input_ids": IDS}))


def test_a_model_inside_another_is_written_down_too(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = bert("BertModel")
            self.head = nn.Linear(8, 3)

    model = Wrapper()
    quantize_(model, "bnn")
    model.backbone.eval().save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(onebit.load(tmp_path)(IDS).pooler_output, model.backbone(IDS).pooler_output)


def test_a_scheme_made_by_hand_is_not_written_and_a_warning_says_so(tmp_path):
    model = bert()
    with pytest.warns(OnebitWarning, match="made by hand: save_pretrained writes the model as a float one"):
        quantize_(model, schemes.Scheme("bnn", "bnn"))
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model that was not quantized by onebit"):
        onebit.load(tmp_path)


def test_a_float_model_in_a_file_stays_a_float_model(tmp_path):
    onebit.save(bert(), tmp_path / "m")
    assert not hasattr(onebit.load(tmp_path / "m", bert).config, "quantization_config")


def changed(folder: Path, change: Callable[[dict], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.update(format=7), r"has format 7, this onebit reads up to 1: install a newer one"),
        (lambda q: q["steps"][0]["scheme"].update(name="biperr"), "needs the scheme 'biperr', which is not registered"),
        (lambda q: q["steps"][0].pop("rows"), "record of quantize_ is damaged"),
        (lambda q: q.pop("steps"), "OneBitConfig needs a scheme to quantize by, or the steps"),
    ],
    ids=["newer", "renamed", "damaged", "empty"],
)
def test_a_bad_config_is_one_sentence(change: Callable, message: str, tmp_path):
    trained(bert, "biper", {"input_ids": IDS}).save_pretrained(tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        onebit.load(tmp_path)


def test_a_folder_takes_no_model_and_an_unknown_class_is_named(tmp_path):
    trained(bert, "bnn", {"input_ids": IDS}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="says how it is built: give no model"):
        onebit.load(tmp_path, bert)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["MyBert"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="transformers has no class 'MyBert'"):
        onebit.load(tmp_path)


def test_another_process_loads_a_folder_in_one_step_and_reads_the_model_by_its_config(tmp_path):
    model = trained(bert, "biper", {"input_ids": IDS})
    model.save_pretrained(tmp_path)
    torch.save(outputs(model, {"input_ids": IDS}), tmp_path / "expected.pt")
    code = (
        "import sys, torch, onebit\n"
        "assert 'transformers' not in sys.modules\n"
        f"folder = {str(tmp_path)!r}\n"
        "expected = torch.load(folder + '/expected.pt')\n"
        "ids = torch.arange(12).reshape(2, 6) % 11\n"
        "onebit.OneBitConfig\n"
        "from transformers import AutoModelForSequenceClassification as Auto\n"
        "assert torch.equal(onebit.load(folder)(ids).logits, expected)\n"
        "assert torch.equal(Auto.from_pretrained(folder)(ids).logits, expected)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
