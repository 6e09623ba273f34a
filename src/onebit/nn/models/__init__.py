"""Whole networks by name, with sizes as arguments: the network of bits and its float twin of the same architecture."""

from __future__ import annotations

from onebit.nn.models.conditional import ConditionalMLP
from onebit.nn.models.convnet import ConvNet
from onebit.nn.models.dfsmn import DFSMN
from onebit.nn.models.mlp import MLP
from onebit.nn.models.pointnet import PointNet
from onebit.nn.models.pokebnn import PokeBNN
from onebit.nn.models.quicknet import QuickNet
from onebit.nn.models.recurrent import GRUClassifier, LSTMClassifier, RecurrentClassifier, RNNClassifier
from onebit.nn.models.registry import build, description, rebuild, registry
from onebit.nn.models.resnet import ResNet, ResNet20
from onebit.nn.models.transformer import Transformer, ViT
from onebit.nn.models.vgg import VGGSmall

__all__ = [
    "DFSMN",
    "MLP",
    "ConditionalMLP",
    "ConvNet",
    "GRUClassifier",
    "LSTMClassifier",
    "PointNet",
    "PokeBNN",
    "QuickNet",
    "RNNClassifier",
    "RecurrentClassifier",
    "ResNet",
    "ResNet20",
    "Transformer",
    "VGGSmall",
    "ViT",
    "build",
    "description",
    "rebuild",
    "registry",
]
