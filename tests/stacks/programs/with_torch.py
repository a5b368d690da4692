"""PyTorch: autograd with Python in its threads, and DataLoader's workers, by fork and by spawn."""
import sys
import threading
import zlib

import torch
import torch.utils.data

from result import done


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        # Backward within backward: beyond some depth autograd goes on on a thread of its own.
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            (y * y).sum().backward()
        return gradient * y.grad


def deep(x, depth):
    """Backward in backward, `depth` times."""
    class Deeper(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(context, gradient):
            (x,) = context.saved_tensors
            threads.add(threading.get_ident())
            with torch.enable_grad():
                y = x.detach().requires_grad_()
                (deep(y, depth - 1) if depth else y * 3).sum().backward()
            return gradient * y.grad

    return Deeper.apply(x)


threads = set()
hooks = []


def train(seed, results):
    x = torch.arange(64, dtype=torch.float64).reshape(8, 8) + seed
    x.requires_grad_()
    x.register_hook(lambda gradient: hooks.append(1))
    for _ in range(60):
        Doubled.apply(x).sum().backward()
    results[seed] = float(x.grad.sum())


class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        return torch.full((100,), i * i)


def main():
    torch.set_num_threads(2)
    results = {}
    trainers = [threading.Thread(target=train, args=(seed, results)) for seed in range(6)]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    z = torch.ones(4, requires_grad=True)
    deep(z, 100).sum().backward()
    loaded = []
    for way in "fork", "spawn":
        loader = torch.utils.data.DataLoader(Squares(), batch_size=8, num_workers=2, multiprocessing_context=way)
        loaded.append(zlib.crc32(b"".join(batch.numpy().tobytes() for batch in loader)))
    done((sorted(results.items()), len(hooks), float(z.grad.sum()), len(threads) > 1, loaded))


if __name__ == "__main__":
    sys.exit(main())
