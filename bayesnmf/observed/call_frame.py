"""The struct by which XLA calls native code, as compiled loops read it: addresses, and words at them.

XLA's foreign function interface (``xla/ffi/api/c_api.h``, whose copy is in
``jax.ffi.include_dir()``) hands over one pointer, to a struct of type ``XLA_FFI_CallFrame``.
The version of the interface that these offsets belong to is 0; XLA changes it before it moves
a field. New fields come at the ends of structs, whose sizes are in their first words.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: Offsets in a call frame.
EXTENSION, API, CONTEXT, STAGE, ARGUMENTS, RESULTS, FUTURE = 8, 16, 24, 32, 40, 80, 168


#: Offsets in a list of arguments or results.
LIST_SIZE, LIST_ITEMS = 16, 32


#: Offsets in a buffer.
BUFFER_DATA, BUFFER_RANK, BUFFER_SHAPE = 24, 32, 40


#: Offsets in the metadata that XLA asks for when a function is registered.
METADATA_OF_EXTENSION, MAJOR, MINOR, TRAITS = 24, 24, 28, 32


#: Offsets in the table of XLA's own functions.
MINOR_OF_API, DESTROY_ERROR, SCHEDULE, COUNT_THREADS = 36, 64, 136, 144
CREATE_FUTURE, END_FUTURE = 152, 160


#: The stage in which a call computes.
EXECUTE = 3


@intrinsic
def load(typing_context, address):  # type: ignore[no-untyped-def]
    """Return the word at an address."""
    return types.int64(types.int64), lambda context, builder, signature, arguments: builder.load(
        _word_at(builder, arguments[0])
    )


@intrinsic
def load_short(typing_context, address):  # type: ignore[no-untyped-def]
    """Return the half word at an address."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = builder.inttoptr(arguments[0], ir.IntType(32).as_pointer())
        return builder.sext(builder.load(place), ir.IntType(64))

    return types.int64(types.int64), generate


@intrinsic
def store(typing_context, address, word):  # type: ignore[no-untyped-def]
    """Write the word at an address."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store(arguments[1], _word_at(builder, arguments[0]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def store_short(typing_context, address, word):  # type: ignore[no-untyped-def]
    """Write the half word at an address."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        short = ir.IntType(32)
        place = builder.inttoptr(arguments[0], short.as_pointer())
        builder.store(builder.trunc(arguments[1], short), place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(typing_context, address, word):  # type: ignore[no-untyped-def]
    """Add to the word at an address, which other threads may do too; return what it was."""
    return (
        types.int64(types.int64, types.int64),
        lambda context, builder, signature, arguments: builder.atomic_rmw(
            "add", _word_at(builder, arguments[0]), arguments[1], "seq_cst"
        ),
    )


@intrinsic
def call(typing_context, function, argument):  # type: ignore[no-untyped-def]
    """Call the C function at an address with an address; return the one that it returns."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], kind), [arguments[1]])

    return types.int64(types.int64, types.int64), generate


@intrinsic
def allocate(typing_context, size):  # type: ignore[no-untyped-def]
    """Return the address of new memory, which stays until :func:`free`."""
    return (
        types.int64(types.int64),
        lambda context, builder, signature, arguments: builder.ptrtoint(
            context.nrt.allocate(builder, arguments[0]), ir.IntType(64)
        ),
    )


@intrinsic
def free(typing_context, address):  # type: ignore[no-untyped-def]
    """Give memory back."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        context.nrt.free(builder, pointer)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def pointer_to(typing_context, address):  # type: ignore[no-untyped-def]
    """Return an address as what :func:`numba.carray` takes."""
    return types.voidptr(
        types.int64
    ), lambda context, builder, signature, arguments: builder.inttoptr(
        arguments[0], ir.IntType(8).as_pointer()
    )


@intrinsic
def own_address(typing_context):  # type: ignore[no-untyped-def]
    """Return the address of the compiled function that asks, as a C function of one word."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word, asking = ir.IntType(64), builder.function
        name = builder.module.get_unique_name(f"{asking.name}.task")
        function = ir.Function(builder.module, ir.FunctionType(word, [word]), name)
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block())
        context.call_conv.call_function(
            inside, asking, types.int64, (types.int64,), list(function.args)
        )
        inside.ret(word(0))
        return builder.ptrtoint(function, word)

    return types.int64(), generate


@numba.njit(inline="always")
def is_question(frame):  # type: ignore[no-untyped-def]
    """Return whether XLA asks for metadata rather than for a computation."""
    return load(frame + EXTENSION) != 0


@numba.njit
def answer_question(frame):  # type: ignore[no-untyped-def]
    """Say which version of the interface this is: 0, and of its minor ones XLA's own."""
    metadata, table = load(load(frame + EXTENSION) + METADATA_OF_EXTENSION), load(frame + API)
    store_short(metadata + MAJOR, 0)
    # Versions of XLA that give no table here take 0.1 alone.
    store_short(metadata + MINOR, 1 if table == 0 else load_short(table + MINOR_OF_API))
    store_short(metadata + TRAITS, 0)


def _word_at(builder, address):  # type: ignore[no-untyped-def]
    return builder.inttoptr(address, ir.IntType(64).as_pointer())
