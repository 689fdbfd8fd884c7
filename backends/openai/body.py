"""The body of a chat completion: model, sampling options, pictures and text as JSON."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvlm_ad.backend import Picture, Request

    from .options import OpenAIOptions

__all__ = ["chat_body"]


def chat_body(request: Request, options: OpenAIOptions) -> bytes:
    """Return a question as JSON; a setting that the endpoint does not support is left out."""
    body: dict[str, Any] = {"model": options.model, options.token_parameter: options.max_tokens}
    for name in ("temperature", "seed", "reasoning_effort"):
        if (value := getattr(options, name)) is not None:
            body[name] = value
    if options.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": options.logprobs}
    if "schema" in request.options and "schema" in options.takes:
        schema = {"name": "anomaly_scores", "strict": True, "schema": request.options["schema"]}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    content = [_picture(picture, options.detail) for picture in request.images]
    body["messages"] = [{"role": "user", "content": [*content, {"type": "text", "text": request.text}]}]
    return json.dumps(body, separators=(",", ":")).encode()


def _picture(picture: Picture, detail: str) -> dict[str, Any]:
    url = f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url} if detail == "none" else {"url": url, "detail": detail}}
