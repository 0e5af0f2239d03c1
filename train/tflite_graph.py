"""A convolutional TensorFlow Lite graph as a trainable torch module.

In: the bytes of a `.tflite` file and the names of the tensors wanted.  Out: `TfliteGraph`, an
`nn.Module` that maps an image [batch, 3, height, width] to those tensors.  Used to start the
student and the detector from published weights and to check them against the reference runtime.

Inside, four-dimensional tensors are channels-first; the file is channels-last.  `RESHAPE` therefore
goes back to channels-last first, so flattened anchors keep the order that the file's authors meant.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tflite
from torch import Tensor, nn

from train.tflite_layers import Add, Concatenate, DepthToSpace, Pad, PaddedConv, Reshape, Resize

_OPERATORS: Final = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}
_JOINING: Final = frozenset({"ADD", "CONCATENATION"})
"""Operators of which every input is data; elsewhere only the first is, the rest are constants."""


class UnsupportedGraphError(ValueError):
    """The file holds something this reader does not know; it never guesses."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator: reads `inputs`, writes `output`; `module` names its child module."""

    module: str
    inputs: tuple[int, ...]
    output: int


class TfliteGraph(nn.Module):
    """The part of a TensorFlow Lite graph that leads to the wanted tensors, trainable."""

    def __init__(
        self, file_bytes: bytes, wanted: Sequence[int], *, source: int | None = None
    ) -> None:
        """Read the graph.

        Args:
            file_bytes: the whole file.
            wanted: indices of the tensors to compute: declared outputs or inner ones.
            source: index of the tensor that `forward` is given; the graph's own input when None.

        Raises:
            UnsupportedGraphError: an operator or option that this reader does not know.

        """
        super().__init__()
        reader = _Reader(file_bytes)
        self.wanted = tuple(wanted)
        self.source = int(reader.graph.Inputs(0)) if source is None else source
        self.layers = nn.ModuleDict()
        self.steps: list[_Step] = []
        for step, module in reader.steps_to(self.wanted, source=self.source):
            self.layers[step.module] = module
            self.steps.append(step)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map the source (the image [batch, 3, height, width]) to the wanted tensors, in order."""
        values = {self.source: image}
        for step in self.steps:
            values[step.output] = self.layers[step.module](*(values[i] for i in step.inputs))
        return [values[index] for index in self.wanted]

    def clip_last(self, ceiling: nn.ReLU6) -> None:
        """Let `ceiling` clip what the last layer gives, in the place of its own ReLU6."""
        last = self.layers[self.steps[-1].module]
        assert isinstance(last.activation, nn.ReLU6)
        last.activation = ceiling

    def levels(self, source: Tensor) -> list[Tensor]:
        """Return the last map of each size, [batch, channels, side, side], fine to coarse.

        The source is the last of its size where nothing follows that has it.
        """
        values = {self.source: source}
        last = {source.shape[-1]: source}
        for step in self.steps:
            x = self.layers[step.module](*(values[i] for i in step.inputs))
            values[step.output] = x
            last[x.shape[-1]] = x
        return [last[side] for side in sorted(last, reverse=True)]


def output_indices(file_bytes: bytes) -> list[int]:
    """Return the indices of the graph's declared outputs, in the file's order."""
    graph = _Reader(file_bytes).graph
    return [int(graph.Outputs(i)) for i in range(graph.OutputsLength())]


def input_of(file_bytes: bytes, tensor: int, *, steps_back: int = 1) -> int:
    """Return the index of the tensor from which `tensor` is computed, following first inputs."""
    reader = _Reader(file_bytes)
    for _ in range(steps_back):
        tensor = reader.inputs(reader.producer[tensor])[0]
    return tensor


def _indices(table: Any, kind: int) -> np.ndarray:
    """Read a list of numbers of any of the widths that the format knows."""
    kinds = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    vector = kinds[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), np.int64)


class _Reader:
    """Walks the flat buffer; knows the file format and nothing of networks."""

    def __init__(self, file_bytes: bytes) -> None:
        self.model = tflite.Model.GetRootAs(file_bytes, 0)
        self.graph = self.model.Subgraphs(0)
        self.producer: dict[int, int] = {}
        for index in range(self.graph.OperatorsLength()):
            self.producer[int(self.graph.Operators(index).Outputs(0))] = index
        self._builders: Mapping[str, Callable[[int, list[int], int], nn.Module]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "ADD": self._add,
            "PAD": self._pad,
            "RESIZE_BILINEAR": self._resize,
            "MAX_POOL_2D": self._max_pool,
            "RESHAPE": self._reshape,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "CONCATENATION": self._concatenate,
            "LOGISTIC": self._logistic,
        }

    def steps_to(self, wanted: Sequence[int], *, source: int) -> list[tuple[_Step, nn.Module]]:
        needed: set[int] = set()
        stack = list(wanted)
        while stack:
            tensor = stack.pop()
            operator = self.producer.get(tensor)
            if tensor == source or operator is None or operator in needed:
                continue
            needed.add(operator)
            stack.extend(self.inputs(operator))
        built = [self._build(index) for index in sorted(needed)]
        return [pair for pair in built if pair is not None]

    def inputs(self, operator: int) -> list[int]:
        read = self.graph.Operators(operator)
        return [int(read.Inputs(i)) for i in range(read.InputsLength())]

    def _name(self, operator: int) -> str:
        code = self.model.OperatorCodes(self.graph.Operators(operator).OpcodeIndex())
        return _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    def _shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self.graph.Tensors(tensor).ShapeAsNumpy()]

    def _constant(self, tensor: int) -> np.ndarray:
        producer = self.producer.get(tensor)
        if producer is not None and self._name(producer) == "DEQUANTIZE":
            return self._constant(self.inputs(producer)[0]).astype(np.float32)
        if producer is not None and self._name(producer) == "DENSIFY":
            return self._dense(self.inputs(producer)[0])
        read = self.graph.Tensors(tensor)
        kinds = {
            tflite.TensorType.FLOAT32: np.float32,
            tflite.TensorType.FLOAT16: np.float16,
            tflite.TensorType.INT32: np.int32,
        }
        raw = self.model.Buffers(read.Buffer()).DataAsNumpy()
        if read.Type() not in kinds or isinstance(raw, int):
            raise UnsupportedGraphError(f"tensor {tensor} is not a plain constant")
        values = raw.view(kinds[read.Type()])
        return values if read.Sparsity() is not None else values.reshape(self._shape(tensor))

    def _dense(self, tensor: int) -> np.ndarray:
        """Fill a constant of which only the numbers that are not zero are kept, row by row."""
        sparsity = self.graph.Tensors(tensor).Sparsity()
        shape = self._shape(tensor)
        *outer, last = (sparsity.DimMetadata(i) for i in range(sparsity.DimMetadataLength()))
        if (
            sparsity.TraversalOrderAsNumpy().tolist() != list(range(len(shape)))
            or sparsity.BlockMapLength()
            or any(dimension.Format() != tflite.DimensionType.DENSE for dimension in outer)
            or last.Format() != tflite.DimensionType.SPARSE_CSR
        ):
            raise UnsupportedGraphError(f"tensor {tensor} is sparse in another way than by rows")
        starts = _indices(last.ArraySegments(), last.ArraySegmentsType())
        columns = _indices(last.ArrayIndices(), last.ArrayIndicesType())
        values = self._constant(tensor)
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        dense = np.zeros((len(starts) - 1, shape[-1]), values.dtype)
        dense[rows, columns] = values[: len(columns)]
        return dense.reshape(shape)

    def _options(self, operator: int, kind: type[Any]) -> Any:
        table = self.graph.Operators(operator).BuiltinOptions()
        options = kind()
        options.Init(table.Bytes, table.Pos)
        return options

    def _build(self, operator: int) -> tuple[_Step, nn.Module] | None:
        name = self._name(operator)
        if name in {"DEQUANTIZE", "DENSIFY"}:
            return None
        build = self._builders.get(name)
        if build is None:
            raise UnsupportedGraphError(
                f"operator {operator} is {name}, which this reader does not know"
            )
        inputs = self.inputs(operator)
        output = int(self.graph.Operators(operator).Outputs(0))
        read = inputs if name in _JOINING else inputs[:1]
        step = _Step(module=f"op{operator:03d}", inputs=tuple(read), output=output)
        return step, build(operator, inputs, output)

    def _add(self, operator: int, _inputs: list[int], _output: int) -> nn.Module:
        return Add(self._options(operator, tflite.AddOptions).FusedActivationFunction())

    def _pad(self, _operator: int, inputs: list[int], _output: int) -> nn.Module:
        return Pad(self._constant(inputs[1]))

    def _resize(self, operator: int, inputs: list[int], _output: int) -> nn.Module:
        options = self._options(operator, tflite.ResizeBilinearOptions)
        if not (options.AlignCorners() or options.HalfPixelCenters()):
            raise UnsupportedGraphError(
                f"operator {operator}: bilinear resize without a pixel-centre rule"
            )
        height, width = self._constant(inputs[1]).tolist()
        return Resize((height, width), align_corners=bool(options.AlignCorners()))

    def _max_pool(self, operator: int, inputs: list[int], output: int) -> nn.Module:
        options = self._options(operator, tflite.Pool2DOptions)
        size = (options.FilterHeight(), options.FilterWidth())
        stride = (options.StrideH(), options.StrideW())
        if any(self._same_padding(inputs[0], output, size, stride, (1, 1))):
            raise UnsupportedGraphError(f"operator {operator}: max-pool with padding")
        return nn.MaxPool2d(size, stride)

    def _reshape(self, _operator: int, _inputs: list[int], output: int) -> nn.Module:
        return Reshape(self._shape(output))

    def _depth_to_space(self, operator: int, _inputs: list[int], _output: int) -> nn.Module:
        return DepthToSpace(self._options(operator, tflite.DepthToSpaceOptions).BlockSize())

    def _concatenate(self, operator: int, _inputs: list[int], output: int) -> nn.Module:
        axis = self._options(operator, tflite.ConcatenationOptions).Axis()
        return Concatenate(axis, len(self._shape(output)))

    def _logistic(self, _operator: int, _inputs: list[int], _output: int) -> nn.Module:
        return nn.Sigmoid()

    def _convolution(self, operator: int, inputs: list[int], output: int) -> nn.Module:
        depthwise = self._name(operator) == "DEPTHWISE_CONV_2D"
        kind = tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions
        options = self._options(operator, kind)
        weight = self._constant(inputs[1])
        weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
        stride = (options.StrideH(), options.StrideW())
        dilation = (options.DilationHFactor(), options.DilationWFactor())
        kernel = (weight.shape[2], weight.shape[3])
        padding = (0, 0, 0, 0)
        if options.Padding() == tflite.Padding.SAME:
            padding = self._same_padding(inputs[0], output, kernel, stride, dilation)
        return PaddedConv(
            np.ascontiguousarray(weight),
            self._constant(inputs[2]),
            stride=stride,
            dilation=dilation,
            padding=padding,
            groups=self._shape(inputs[0])[3] if depthwise else 1,
            activation=options.FusedActivationFunction(),
        )

    def _same_padding(
        self,
        source: int,
        output: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
    ) -> tuple[int, int, int, int]:
        """TensorFlow's SAME rule as left, right, top, bottom."""
        pads: list[int] = []
        for axis in (1, 0):
            size_in, size_out = self._shape(source)[axis + 1], self._shape(output)[axis + 1]
            span = (kernel[axis] - 1) * dilation[axis] + 1
            total = max((size_out - 1) * stride[axis] + span - size_in, 0)
            pads += [total // 2, total - total // 2]
        return pads[0], pads[1], pads[2], pads[3]
