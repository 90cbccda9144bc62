//! Keys of `cfg.json` that do not change the latents or the reconstruction of a row.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// Description of the language model and its activations, in every version of `SAELens`.
const ORIGIN: &[&str] = &[
    "context_size",
    "dataset_path",
    "dataset_trust_remote_code",
    "exclude_special_tokens",
    "hf_hook_name",
    "hf_hook_name_out",
    "hook_eval",
    "hook_head_index",
    "hook_head_index_out",
    "hook_layer",
    "hook_layer_out",
    "hook_name",
    "hook_name_out",
    "hook_point",
    "hook_point_eval",
    "hook_point_head_index",
    "hook_point_layer",
    "model_class_name",
    "model_from_pretrained_kwargs",
    "model_kwargs",
    "model_name",
    "neuronpedia_id",
    "prepend_bos",
    "release",
    "sae_lens_training_version",
    "sae_lens_version",
    "seqpos_slice",
];

/// Settings of the training of an autoencoder: start, losses, penalties.
const LOSSES: &[&str] = &[
    "aux_loss_coefficient",
    "b_dec_init_method",
    "decoder_heuristic_init",
    "decoder_heuristic_init_norm",
    "decoder_init_norm",
    "decoder_orthogonal_init",
    "expansion_factor",
    "finetuning_method",
    "finetuning_tokens",
    "from_pretrained_path",
    "ghost_grads",
    "init_encoder_as_decoder_transpose",
    "jumprelu_bandwidth",
    "jumprelu_init_threshold",
    "jumprelu_sparsity_loss_mode",
    "jumprelu_ste_to_input",
    "jumprelu_tanh_scale",
    "l0_coefficient",
    "l0_warm_up_steps",
    "l1_coefficient",
    "l1_warm_up_steps",
    "lp_norm",
    "mse_loss_normalization",
    "noise_scale",
    "normalize_sae_decoder",
    "pre_act_loss_coefficient",
    "scale_sparsity_penalty_by_decoder_norm",
    "target_l0",
    "topk_threshold_lr",
    "use_ghost_grads",
    "use_matryoshka_aux_loss",
    "use_sparse_activations",
];

/// Settings of a training run: optimiser, batches, files, logging.
const RUN: &[&str] = &[
    "act_store_device",
    "activations_mixing_fraction",
    "adam_beta1",
    "adam_beta2",
    "autocast",
    "autocast_lm",
    "cached_activations_path",
    "checkpoint_path",
    "compile_llm",
    "compile_sae",
    "d_head",
    "dead_feature_threshold",
    "dead_feature_window",
    "disable_concat_sequences",
    "eval_batch_size_prompts",
    "eval_every_n_wandb_logs",
    "feature_reinit_scale",
    "feature_sampling_method",
    "feature_sampling_window",
    "is_dataset_tokenized",
    "llm_compilation_mode",
    "llm_device",
    "log_activations_store_to_wandb",
    "log_optimizer_state_to_wandb",
    "log_to_wandb",
    "log_weights_to_wandb",
    "logger",
    "lr",
    "lr_decay_steps",
    "lr_end",
    "lr_scheduler_name",
    "lr_warm_up_steps",
    "n_batches_for_norm_estimate",
    "n_batches_in_buffer",
    "n_batches_in_store_buffer",
    "n_checkpoints",
    "n_eval_batches",
    "n_restart_cycles",
    "new_cached_activations_path",
    "output_path",
    "prefetch_llm_batches",
    "resume",
    "resume_from_checkpoint",
    "run_name",
    "sae_compilation_mode",
    "save_final_checkpoint",
    "seed",
    "sequence_separator_token",
    "store_batch_size",
    "store_batch_size_prompts",
    "streaming",
    "tokens_per_buffer",
    "total_tokens",
    "total_training_steps",
    "total_training_tokens",
    "train_batch_size",
    "train_batch_size_tokens",
    "training_tokens",
    "use_cached_activations",
    "use_chat_formatting",
    "verbose",
    "wandb_entity",
    "wandb_id",
    "wandb_log_frequency",
    "wandb_project",
];

/// Refuses a key that is neither read nor known to have no effect: the model may compute something else.
///
/// A key without a value (`null`) is accepted.
pub(super) fn refuse_unknown(path: &Path, keys: &BTreeMap<String, Value>) -> Result<()> {
    let known = [ORIGIN, LOSSES, RUN].into_iter().flatten();
    let mut given = keys.iter().filter(|(_, value)| !value.is_null());
    match given.find(|(key, _)| known.clone().all(|name| name != key)) {
        None => Ok(()),
        Some((key, value)) => Err(Error::format(
            path,
            format!(
                "{key}: unknown key with the value {}, which may change the latents; remove the key if it does not",
                short(value)
            ),
        )),
    }
}

/// First characters of a value, for a message.
pub(super) fn short(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
