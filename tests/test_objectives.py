"""Causality, the next step and the next token by hand, and inputs and targets of either kind."""

import math
from dataclasses import replace

import pytest
import torch
from little_run import CONFIG

from w2v2_teach.config import BASE, NOTES, ConfigError, Wav2Vec2Config
from w2v2_teach.context_network import ConvPositionalEmbedding, SelfAttention
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.losses import sample_negatives
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.objectives import (
    NoQuantizer,
    Wav2Vec2ForJointNextToken,
    Wav2Vec2ForNextStep,
    Wav2Vec2ForNextToken,
    Wav2Vec2ForPreTrainingVariant,
    next_token_loss,
)

CAUSAL = replace(CONFIG, causal=True, prediction_steps=(1, 2, 5))
FIELD = receptive_field(CAUSAL)[-1]


def samples_with_gradient(model: Wav2Vec2Model, frame: int, attention_mask=None, **options) -> list[int]:
    """Which samples move the context of a frame of the first row."""
    x = torch.randn(2, 30 * FIELD.hop + FIELD.samples, requires_grad=True)
    c = model(x, attention_mask, **options).last_hidden_state[0, frame]  # (D,)
    (c @ torch.randn(len(c))).backward()
    assert x.grad[1].abs().max() == 0, "nor does another utterance"
    return x.grad[0].nonzero().flatten().tolist()


# --- causality --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [0, 7, 20])
@pytest.mark.parametrize("output_attentions", [False, True], ids=["fused", "with maps"])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_no_sample_after_the_frames_own_window_has_a_gradient(frame, output_attentions, pre_norm):
    model = Wav2Vec2Model(replace(CAUSAL, do_stable_layer_norm=pre_norm)).eval()
    touched = samples_with_gradient(model, frame, output_attentions=output_attentions)
    assert max(touched) <= FIELD.window(frame)[-1]
    assert max(touched) > FIELD.window(frame)[0], "its own window is heard"
    assert min(touched) < FIELD.hop, "and so is the beginning"


def test_a_network_that_is_not_causal_hears_the_future():
    touched = samples_with_gradient(Wav2Vec2Model(CONFIG).eval(), 7)
    assert max(touched) > FIELD.window(25)[0]


def test_causality_and_padding_together():
    model = Wav2Vec2Model(CAUSAL).eval()
    x = torch.randn(2, 30 * FIELD.hop + FIELD.samples)
    attention_mask = torch.ones_like(x, dtype=torch.long)
    attention_mask[0, 12 * FIELD.hop + FIELD.samples :] = 0
    padded = model(x, attention_mask).last_hidden_state
    alone = model(x[:1, : 12 * FIELD.hop + FIELD.samples]).last_hidden_state
    torch.testing.assert_close(padded[:1, :13], alone, atol=1e-5, rtol=0)
    assert padded.isfinite().all()
    assert max(samples_with_gradient(model, 7, attention_mask)) <= FIELD.window(7)[-1]


def test_causal_attention_is_torchs():
    attention = SelfAttention(CAUSAL).eval()
    x = torch.randn(2, 9, CAUSAL.hidden_size)  # (B, T, D)
    q, k, v = (attention._split(project(x)) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    heads = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    ours, weights = attention(x, output_attentions=True)
    torch.testing.assert_close(ours, attention.out_proj(heads.transpose(1, 2).flatten(2)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(attention(x)[0], ours, atol=1e-6, rtol=1e-5)
    assert weights.triu(1).abs().max() == 0
    assert (weights.tril() > 0).sum() == weights.numel() // 81 * 45


@pytest.mark.parametrize("kernel", [7, 8])
def test_the_causal_positional_embedding_looks_back_a_whole_kernel(kernel):
    embed = ConvPositionalEmbedding(replace(CAUSAL, num_conv_pos_embeddings=kernel))
    x = torch.randn(1, 30, CAUSAL.hidden_size, requires_grad=True)  # (B, T, D)
    out = embed(x)
    assert out.shape == x.shape
    out[0, 20].sum().backward()
    assert x.grad[0].abs().sum(dim=1).nonzero().flatten().tolist() == list(range(20 - kernel + 1, 21))


def test_the_configuration_refuses_what_would_let_the_future_in():
    for config in (BASE, NOTES, replace(NOTES, feat_extract_norm="layer")):
        with pytest.raises(ConfigError, match=r"feat_extract_norm is '.*'; it must be 'layer', without conv_gate"):
            replace(config, causal=True)
    with pytest.raises(ConfigError, match=r"prediction_steps is \(\); it must be a tuple of at least one"):
        replace(CAUSAL, prediction_steps=())
    with pytest.raises(ConfigError, match=r"prediction_steps is \(0, 1\)"):
        replace(CAUSAL, prediction_steps=(0, 1))
    for model in (Wav2Vec2ForNextStep, Wav2Vec2ForNextToken, Wav2Vec2ForJointNextToken):
        with pytest.raises(ConfigError, match="causal is False; it must be True"):
            model(CONFIG)


@pytest.mark.parametrize("changes", [{"causal": True}, {"quantize_inputs": True}, {"quantize_targets": False}])
def test_transformers_would_not_take_such_a_model_for_its_own(changes):
    varied = replace(CONFIG, **changes)
    assert varied.to_dict()["model_type"] != CONFIG.to_dict()["model_type"] == "wav2vec2"
    assert Wav2Vec2Config.from_dict(varied.to_dict()) == varied


# --- the next step ----------------------------------------------------------------------------------------------------


def batch_of_two() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(2, L) waveforms, their attention mask, and the real frames (2, T): 20 and 13 of them."""
    x = torch.randn(2, 19 * FIELD.hop + FIELD.samples)
    attention_mask = torch.ones_like(x, dtype=torch.long)
    attention_mask[1, 12 * FIELD.hop + FIELD.samples :] = 0
    return x, attention_mask, torch.arange(20) < torch.tensor([[20], [13]])


def with_guesses(model: Wav2Vec2ForNextStep) -> Wav2Vec2ForNextStep:
    """Predictors begin at zero; here they say something."""
    for predict in model.predictors:
        torch.nn.init.normal_(predict.weight, std=0.1)
        torch.nn.init.normal_(predict.bias)
    return model


def test_without_a_guess_the_next_step_costs_the_candidates_logarithm():
    x, attention_mask, real = batch_of_two()
    output = Wav2Vec2ForNextStep(CAUSAL)(x, sample_negatives(real, 5), attention_mask)
    assert output.loss.item() / output.num_predictions == pytest.approx(math.log(6), rel=1e-6)
    assert sum(output.num_correct.values()) == 0, "a tie is not a right answer"


def test_the_next_step_by_two_loops():
    model = with_guesses(Wav2Vec2ForNextStep(CAUSAL)).eval()
    x, attention_mask, real = batch_of_two()
    negatives = sample_negatives(real, 5)  # (33, 5)
    output = model(x, negatives, attention_mask)
    parts = model.wav2vec2(x, attention_mask)
    frames = [(b, t) for b in range(2) for t in range(20) if real[b, t]]  # in the order of the negatives
    loss, correct = 0.0, dict.fromkeys(CAUSAL.prediction_steps, 0)
    for k, predict in zip(CAUSAL.prediction_steps, model.predictors, strict=True):
        for n, (b, t) in enumerate(frames):
            if t < k:
                continue
            guess = predict(parts.last_hidden_state[b, t - k])  # (C,)
            candidates = [(b, t), *(frames[i] for i in negatives[n])]
            scores = torch.stack([guess @ parts.extract_features[f] for f in candidates])
            loss += -scores.log_softmax(dim=0)[0]
            correct[k] += int(scores.argmax() == 0)
    torch.testing.assert_close(output.loss, loss, atol=1e-3, rtol=1e-5)
    assert {k: int(number) for k, number in output.num_correct.items()} == correct
    assert output.num_predictions == sum(20 - k + 13 - k for k in (1, 2, 5))


def test_the_next_steps_targets_train_the_encoder():
    model = with_guesses(Wav2Vec2ForNextStep(replace(CAUSAL, prediction_steps=(3,))))
    x, attention_mask, real = batch_of_two()
    c = model.wav2vec2(x, attention_mask).last_hidden_state.detach()
    model.wav2vec2.encoder.register_forward_hook(lambda _m, _i, out: out._replace(last_hidden_state=c))
    model(x, sample_negatives(real, 5), attention_mask).loss.backward()
    assert model.wav2vec2.feature_extractor.conv_layers[0].conv.weight.grad.abs().sum() > 0


# --- the next token ---------------------------------------------------------------------------------------------------


def test_the_next_token_is_cross_entropy_with_the_following_frames_codes():
    model = Wav2Vec2ForNextToken(CAUSAL).eval()
    x, attention_mask, real = batch_of_two()
    codes = torch.randint(8, (2, 20, 2))  # (B, T, G)
    output = model(x, codes, attention_mask)
    logits = model.lm_head(model.wav2vec2(x, attention_mask).last_hidden_state)  # (B, T, G·V)
    loss, correct = 0.0, 0
    for b, T in enumerate(real.sum(dim=1).tolist()):
        for t in range(T - 1):
            books = logits[b, t].view(2, 8)
            loss += torch.nn.functional.cross_entropy(books, codes[b, t + 1], reduction="sum")
            correct += int((books.argmax(dim=1) == codes[b, t + 1]).all())
    torch.testing.assert_close(output.loss, loss, atol=1e-3, rtol=1e-5)
    assert (int(output.num_correct), len(output.logits)) == (correct, 19 + 12)
    assert output.diversity_loss == 0


def test_a_fair_guess_costs_the_codebooks_logarithms():
    choice = torch.nn.functional.one_hot(torch.randint(8, (7, 2)), 8).float()
    assert next_token_loss(torch.zeros(7, 2, 8), choice).item() == pytest.approx(7 * 2 * math.log(8), rel=1e-6)


def test_the_joint_loss_pulls_the_codes_towards_the_guess():
    logits, wanted = torch.tensor([[[2.0, 0.0, 0.0]]]), torch.zeros(1, 1, 3, requires_grad=True)
    soft = wanted.softmax(dim=-1)  # what a straight-through choice passes back
    next_token_loss(logits, soft).backward()
    assert (-wanted.grad[0, 0]).argmax() == 0, "the entry that is guessed becomes likelier, whatever is heard"


def test_equal_codes_make_the_joint_loss_vanish():
    model = Wav2Vec2ForJointNextToken(replace(CAUSAL, diversity_loss_weight=0.0))
    for linear in (model.quantizer.weight_proj, model.lm_head):
        torch.nn.init.zeros_(linear.weight)
        with torch.no_grad():
            linear.bias.view(2, 8)[:, 3] = 40.0
    output = model(batch_of_two()[0])
    assert output.loss.item() == pytest.approx(0, abs=1e-4)
    assert output.num_correct == len(output.logits) == 2 * 19
    assert output.diversity_loss.item() == pytest.approx(1 - 2 / 16, abs=1e-4), "one entry a codebook, of 8"


def test_the_joint_loss_counts_diversity_once_a_frame():
    model = Wav2Vec2ForJointNextToken(CAUSAL)
    x, noise = batch_of_two()[0], torch.randn(38, 2, 8)
    with_alpha = model(x, temperature=0.7, noise=noise)
    model.config = replace(CAUSAL, diversity_loss_weight=0.0)
    without = model(x, temperature=0.7, noise=noise)
    torch.testing.assert_close(with_alpha.loss - without.loss, 0.1 * 38 * without.diversity_loss, atol=1e-3, rtol=0)


def test_given_codes_the_joint_model_is_the_plain_one_and_alone_it_takes_no_padding():
    joint, plain = Wav2Vec2ForJointNextToken(CAUSAL).eval(), Wav2Vec2ForNextToken(CAUSAL).eval()
    plain.load_state_dict(joint.state_dict(), strict=False)
    x, attention_mask, _ = batch_of_two()
    codes = joint.codes(x)  # (B, T, G)
    z = joint.wav2vec2(x).extract_features  # (B, T, C)
    assert torch.equal(codes.flatten(0, 1), joint.quantizer(z.flatten(0, 1)).codes)
    ours, wanted = joint(x, codes, attention_mask), plain(x, codes, attention_mask)
    assert torch.equal(ours.loss, wanted.loss)
    assert torch.equal(ours.targets, wanted.targets)
    with pytest.raises(ValueError, match="no waveform can be padded"):
        joint(x, attention_mask=attention_mask)


# --- inputs and targets -----------------------------------------------------------------------------------------------


def masked_batch() -> dict[str, torch.Tensor]:
    x = batch_of_two()[0]
    mask = torch.zeros(2, 20, dtype=torch.bool)
    mask[:, 4:12] = True
    return {"input_values": x, "mask_time_indices": mask, "negatives": sample_negatives(mask, 5)}


def test_without_variation_it_is_the_papers_model():
    torch.manual_seed(1)
    varied = Wav2Vec2ForPreTrainingVariant(CONFIG).eval()
    torch.manual_seed(1)
    plain = Wav2Vec2ForPreTraining(CONFIG).eval()
    batch = masked_batch()
    assert torch.equal(varied(**batch).logits, plain(**batch).logits)
    assert varied.state_dict().keys() == plain.state_dict().keys()


def test_continuous_targets_are_the_latent_frames_themselves():
    model = Wav2Vec2ForPreTrainingVariant(replace(CONFIG, quantize_targets=False)).eval()
    assert isinstance(model.quantizer, NoQuantizer)
    batch = masked_batch()
    output, mask = model(**batch), batch["mask_time_indices"]
    parts = model.wav2vec2(batch["input_values"], mask_time_indices=mask)
    c, q = model.project_hid(parts.last_hidden_state[mask]), model.project_q(parts.extract_features[mask])
    for n in (0, 7, 15):
        candidates = torch.cat([q[n : n + 1], q[batch["negatives"][n]]])
        scores = torch.cosine_similarity(c[n], candidates, dim=1) / 0.1
        torch.testing.assert_close(output.logits[n], scores, atol=1e-4, rtol=1e-4)
    assert output.diversity_loss == 0
    assert output.logits.isfinite().all(), "no two frames are the same target"


def test_quantized_inputs_hear_of_a_sound_only_its_codes():
    model = Wav2Vec2ForPreTrainingVariant(replace(CONFIG, quantize_inputs=True)).eval()
    projection = model.wav2vec2.feature_projection
    z = model.wav2vec2.feature_extractor(batch_of_two()[0])  # (B, T, C)
    projected, normalized = projection(z)
    codes = projection.quantizer.logits(normalized).argmax(dim=-1).flatten(0, 1)  # (N, G)
    rows = projected.flatten(0, 1)
    for n in range(len(codes)):
        same = (codes == codes[n]).all(dim=1)
        torch.testing.assert_close(rows[same], rows[n].expand(int(same.sum()), -1))
    torch.testing.assert_close(normalized, projection.layer_norm(z))
    assert len(codes.unique(dim=0)) < len(codes), "else nothing could be seen"


def test_the_input_quantizer_gets_the_temperature():
    model = Wav2Vec2ForPreTrainingVariant(replace(CONFIG, quantize_inputs=True))
    model(**masked_batch(), temperature=0.25)
    assert model.wav2vec2.feature_projection.temperature == 0.25


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (Wav2Vec2ForNextStep, CAUSAL),
        (Wav2Vec2ForNextToken, CAUSAL),
        (Wav2Vec2ForJointNextToken, CAUSAL),
        (Wav2Vec2ForPreTrainingVariant, replace(CONFIG, quantize_inputs=True, quantize_targets=False)),
    ],
)
def test_each_model_comes_back_from_disk(tmp_path, model_class, config):
    model = model_class(config)
    model.save_pretrained(tmp_path)
    again = model_class.from_pretrained(tmp_path)
    assert again.config == config
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
