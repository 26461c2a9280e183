"""From bags to a policy bundle: conversion, data set, models, trainer, export, evaluation."""

__version__ = "0.1.0"
