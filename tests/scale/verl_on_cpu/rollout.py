"""A rollout engine for verl: one Ray actor a replica, which samples with transformers, one request at a time."""

import asyncio
import os

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput


def _name(replica_rank):
    return f"on_cpu_{replica_rank}"


class Adapter(BaseRollout):
    """Lives in a training worker, and hands its weights to the server."""

    def __init__(self, config, model_config, device_mesh, replica_rank=-1):
        super().__init__(config, model_config, device_mesh)
        rank, size = int(os.environ["RANK"]), config.tensor_model_parallel_size
        self.replica_rank = rank // size if replica_rank == -1 else replica_rank
        self.leads = rank % size == 0

    async def update_weights(self, weights, global_steps=None, **_):
        state = {name: tensor.detach().to("cpu").clone() for name, tensor in weights}  # all ranks take part
        if self.leads:
            await ray.get_actor(_name(self.replica_rank)).update_weights.remote(ray.put(state), global_steps)

    async def resume(self, tags):
        pass

    async def release(self):
        pass


class Server:
    def __init__(self, config, model_config):
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        torch.manual_seed(config.seed)
        self.limit = config.response_length
        self.model = AutoModelForCausalLM.from_pretrained(model_config.path, dtype=torch.float32).eval()
        self.end = self.model.generation_config.eos_token_id
        self.step = None
        self.one_at_a_time = asyncio.Lock()

    async def update_weights(self, state, global_steps):
        self.model.load_state_dict(state)
        self.step = global_steps

    async def generate(self, prompt_ids, sampling_params, request_id, **_):
        async with self.one_at_a_time:
            tokens, logprobs, stopped = await asyncio.to_thread(self._sample, list(prompt_ids), sampling_params)
        return TokenOutput(
            token_ids=tokens,
            log_probs=logprobs if sampling_params.get("logprobs") else None,
            stop_reason="completed" if stopped else "length",
            num_preempted=0,
            extra_fields={"global_steps": self.step},
        )

    @torch.no_grad()
    def _sample(self, prompt, params):
        temperature = params.get("temperature", 1.0)
        row, cache, tokens, logprobs = torch.tensor([prompt]), None, [], []
        for _ in range(params.get("max_tokens") or self.limit):
            out = self.model(input_ids=row, past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[0, -1].float()
            logprobs_V = torch.log_softmax(logits / temperature if temperature else logits, -1)
            token = int(torch.multinomial(logprobs_V.exp(), 1) if temperature else logprobs_V.argmax())
            tokens.append(token)
            logprobs.append(float(logprobs_V[token]))
            if token == self.end:
                return tokens, logprobs, True
            row = torch.tensor([[token]])
        return tokens, logprobs, False

    async def get_server_address(self):
        return f"on_cpu:{os.getpid()}"

    async def set_global_steps(self, step):
        self.step = step

    async def abort_all_requests(self, **_):
        return {"aborted_count": 0, "request_ids": []}

    async def nothing(self, *_, **__):
        pass

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = resume_generation = nothing
    start_profile = stop_profile = nothing


class Replica(RolloutReplica):
    async def launch_servers(self):
        server = (
            ray.remote(Server)
            .options(name=_name(self.replica_rank), num_cpus=0, max_concurrency=self.max_concurrency)
            .remote(self.config, self.model_config)
        )
        self.servers.append(server)
        self._server_handle = server
        self._server_address = await server.get_server_address.remote()
