"""What a server that scores given tokens would say, from a model in this process."""

from __future__ import annotations

import torch


def scores(lm):
    """Answers `completions` with `echo` as vLLM does: log-probs of all tokens of the prompt, then one more token."""

    def answer(path, payload):
        ids = torch.tensor([payload["prompt"]])
        with torch.no_grad():
            logp_TV = lm.model(ids).logits[0].log_softmax(-1)
        row = [None, *logp_TV[:-1].gather(1, ids[0, 1:, None])[:, 0].tolist(), -1.0]
        return {"choices": [{"text": "", "finish_reason": "length", "logprobs": {"token_logprobs": row}}]}

    return answer
