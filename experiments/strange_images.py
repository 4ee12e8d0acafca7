"""Models of Fashion-MNIST, MNIST and CIFAR-10, images of 256 levels, and what is strange to them.

Command: ``JAXGEN_DATA=DIR jaxgen train experiments/strange_images.py:vae_fashion --out
runs/vae_fashion``, then ``jaxgen ood runs/vae_fashion --against npz:mnist.npz``; and so on, and the
other way round. ``DIR`` holds ``fashion_mnist.npz``, ``mnist.npz`` and ``cifar10.npz``, each with
the arrays ``train_x`` and ``test_x``, and what is strange to CIFAR-10: digits in its shape, and its
own images upside down::

    digits, photos = (np.load(f"{name}.npz")["test_x"] for name in ("mnist", "cifar10"))
    padded = np.pad(digits.reshape(-1, 28, 28, 1), ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.savez("mnist_rgb.npz", test_x=np.repeat(padded, 3, axis=-1))
    np.savez("cifar10_flipped.npz", test_x=photos[:, ::-1])

``--background`` is the run of ``local_`` on the same data. The models are small, trained in 5 to 25
minutes on two CPU cores beside other work, and good densities are not their purpose. Fashion-MNIST
to MNIST is published as 1.00 for DoSE and for LPath, 0.99 for likelihood regret, and 0.87 for the
bound of a VAE.
"""

from typing import Any

from jaxgen.runs import Recipe
from jaxgen.training import TrainSettings

DATA = {"fashion": "npz:fashion_mnist.npz", "mnist": "npz:mnist.npz", "cifar10": "npz:cifar10.npz"}


def recipe(
    model: str, data: str, summary: str, model_args: dict[str, Any], steps: int, **others: Any
) -> Recipe:
    train = TrainSettings(
        steps=steps,
        batch_size=others.pop("batch_size", 32),
        learning_rate=others.pop("learning_rate", 1e-3),
        warmup_steps=200,
        clip_norm=others.pop("clip_norm", 50.0),
        ema_decay=0.999,
        eval_every=2000,
        checkpoint_every=2000,
    )
    return Recipe(
        model,
        DATA[data],
        model_args,
        event_shape=[32, 32, 3] if data == "cifar10" else [28, 28, 1],
        train=train,
        name=f"{others.pop('name', f'small_{model}')}_{data}",
        summary=summary,
        **others,
    )


def glow(data: str) -> Recipe:
    # Scales of unbounded products gave single images of the test splits any density at all.
    sizes = {"levels": 2, "steps": 8, "width": 32, "bounds": [0, 256], "scale": "sigmoid"}
    about = "A small multi-scale Glow."
    return recipe("glow", data, about, sizes, 16_000, learning_rate=2e-3, dequantize=True)


def pixelcnn(data: str) -> Recipe:
    return recipe(
        "gated_pixelcnn",
        data,
        "A small gated PixelCNN.",
        {"components": 5, "width": 32, "depth": 4, "out_width": 32},
        6000,
        name="small_pixelcnn",
    )


def local(data: str) -> Recipe:
    return recipe(
        "pixelcnn",
        data,
        "A PixelCNN of the next neighbours alone, as a background.",
        {"components": 5, "width": 32, "depth": 1, "first_size": 3, "out_width": 32},
        4000,
        name="local_pixelcnn",
    )


def vae(data: str) -> Recipe:
    return recipe(
        "vae",
        data,
        "A VAE with two hidden layers each way.",
        {"levels": 256, "components": 5, "latents": 20, "hidden": [400, 400], "activation": "relu"},
        8000,
        batch_size=100,
        clip_norm=None,
        objective="elbo",
        eval_samples=100,
    )


glow_fashion, glow_mnist, glow_cifar10 = map(glow, DATA)
pixelcnn_fashion, pixelcnn_mnist, pixelcnn_cifar10 = map(pixelcnn, DATA)
local_fashion, local_mnist, local_cifar10 = map(local, DATA)
vae_fashion, vae_mnist, vae_cifar10 = map(vae, DATA)
