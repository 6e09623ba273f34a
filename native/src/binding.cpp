// The engine as a Python module: arrays in, arrays out. Everything that can be wrong with them is a ValueError.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "dims.hpp"
#include "graph.hpp"
#include "model.hpp"
#include "peak.hpp"
#include "plain_read.hpp"
#include "text.hpp"

namespace nb = nanobind;

namespace onebit {

namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

nb::dlpack::dtype array_dtype(DType dtype) {
    switch (dtype) {
        case DType::f32: return nb::dtype<float>();
        case DType::i8: return nb::dtype<std::int8_t>();
        case DType::u8: return nb::dtype<std::uint8_t>();
        case DType::i32: return nb::dtype<std::int32_t>();
        case DType::i64: return nb::dtype<std::int64_t>();
        case DType::boolean: return nb::dtype<bool>();
        case DType::bit:
        case DType::ternary: return nb::dtype<std::int8_t>();
    }
    return nb::dtype<float>();
}

// An array whose memory Python owns.
nb::object new_array(DType dtype, const Shape& shape, void** data) {
    auto memory = std::make_unique<Buffer>();
    try {
        *memory = allocate(static_cast<std::size_t>(element_count(shape)) * element_bytes(dtype));
    } catch (const std::bad_alloc&) {
        fail("an array of ", name(dtype), " ", text(shape), " needs more memory than the machine gives");
    }
    *data = memory->get();
    nb::capsule owner(memory.release(), [](void* p) noexcept { delete static_cast<Buffer*>(p); });
    std::vector<std::size_t> sizes(shape.begin(), shape.end());
    nb::ndarray<nb::numpy> array(*data, sizes.size(), sizes.data(), owner, nullptr, array_dtype(dtype));
    return nb::cast(array);
}

template <class A>
A array_of(nb::handle object, std::string_view what, DType dtype) {
    A array;
    if (!nb::try_cast<A>(object, array, false))
        fail(what, " must be a contiguous NumPy array", std::is_same_v<A, Array> ? "" : " that can be written to");
    if (array.dtype() != array_dtype(dtype)) fail(what, " must have dtype ", dtype == DType::bit ? "int8" : name(dtype));
    if (reinterpret_cast<std::uintptr_t>(array.data()) % element_bytes(dtype) != 0) fail(what, " must be aligned to its elements");
    return array;
}

template <class A>
Shape shape_of(const A& array) {
    Shape shape(array.ndim());
    for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<std::int64_t>(array.shape(i));
    return shape;
}

class Engine {
public:
    Engine(nb::object data, int threads, const std::optional<std::string>& isa, std::optional<std::size_t> max_memory,
           std::int64_t grain, bool shared) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(data.ptr(), &buffer, PyBUF_SIMPLE) != 0) throw nb::python_error();
        try {
            const nb::gil_scoped_release release;
            const std::span bytes(static_cast<const std::byte*>(buffer.buf), static_cast<std::size_t>(buffer.len));
            model_ = std::make_unique<Model>(load_graph(bytes), threads, isa.value_or(""), max_memory, grain, shared);
        } catch (const std::bad_alloc&) {
            PyBuffer_Release(&buffer);
            fail("the network needs more memory than the machine gives");
        } catch (...) {
            PyBuffer_Release(&buffer);
            throw;
        }
        PyBuffer_Release(&buffer);
    }

    const Graph& graph() const { return model_->graph(); }
    const Model& model() const { return *model_; }

    // `seconds`, where it is given, becomes the time of each step.
    nb::list run(nb::sequence given, std::optional<nb::sequence> outputs, std::vector<double>* seconds = nullptr) {
        const Inputs inputs = read(given);
        if (outputs && nb::len(*outputs) != graph().outputs.size())
            fail("the model has ", graph().outputs.size(), " outputs, got ", nb::len(*outputs));

        std::vector<Shape> expected;
        {
            const nb::gil_scoped_release release;
            expected = model_->output_shapes(inputs.shapes);
        }
        nb::list results;
        std::vector<WritableArray> written;
        std::vector<void*> out;
        for (std::size_t i = 0; i < graph().outputs.size(); ++i) {
            const Value& value = graph().values[static_cast<std::size_t>(graph().outputs[i])];
            nb::object result = outputs ? nb::object((*outputs)[i]) : nb::none();
            void* data = nullptr;
            if (result.is_none()) {
                result = new_array(value.type.dtype, expected[i], &data);
            } else {
                written.push_back(array_of<WritableArray>(result, cat("out for ", quoted(value.name)), value.type.dtype));
                if (const Shape shape = shape_of(written.back()); shape != expected[i])
                    fail("out for ", quoted(value.name), " must have the shape ", text(expected[i]), ", got ", text(shape));
                data = written.back().data();
            }
            out.push_back(data);
            results.append(result);
        }
        const nb::gil_scoped_release release;
        model_->run(inputs.shapes, inputs.data, out, seconds);
        return results;
    }

    // The outputs, and the seconds that each step took.
    nb::tuple profile(nb::sequence given, std::optional<nb::sequence> outputs) {
        std::vector<double> seconds;
        nb::list results = run(given, outputs, &seconds);
        return nb::make_tuple(results, seconds);
    }

    // The steps of a run with these inputs: (nodes, bytes read, bytes written), each node as (index, kind, attributes, inputs,
    // output) with its values as (name, dtype, shape).
    nb::list steps(nb::sequence given) {
        const Inputs inputs = read(given);
        const std::vector<Shape> shapes = bind_shapes(graph(), inputs.shapes);
        const auto value = [&](int index) {
            const Value& of = graph().values[static_cast<std::size_t>(index)];
            return nb::make_tuple(of.name, std::string(name(of.type.dtype)), shapes[static_cast<std::size_t>(index)]);
        };
        nb::list result;
        for (const Step& step : model_->steps(inputs.shapes)) {
            nb::list nodes;
            for (const std::size_t index : step.nodes) {
                const Node& node = graph().nodes[index];
                nb::list read;
                for (const int input : node.inputs) read.append(value(input));
                nodes.append(nb::make_tuple(index, node.kind, attributes(node), read, value(node.outputs[0])));
            }
            result.append(nb::make_tuple(nodes, step.bytes_read, step.bytes_written));
        }
        return result;
    }

    nb::list state() const {
        nb::list result;
        for (std::size_t i = 0; i < graph().states.size(); ++i) {
            void* data = nullptr;
            nb::object array = new_array(value_of(i).type.dtype, model_->state_shape(i), &data);
            model_->get_state(i, data);
            result.append(array);
        }
        return result;
    }

    void set_state(nb::sequence given) {
        if (nb::len(given) != graph().states.size()) fail("the model has ", graph().states.size(), " states, got ", nb::len(given));
        std::vector<Array> arrays;
        for (std::size_t i = 0; i < graph().states.size(); ++i) {
            const std::string what = cat("state ", quoted(value_of(i).name));
            arrays.push_back(array_of<Array>(given[i], what, value_of(i).type.dtype));
            if (const Shape shape = shape_of(arrays.back()); shape != model_->state_shape(i))
                fail(what, " must have the shape ", text(model_->state_shape(i)), ", got ", text(shape));
        }
        for (std::size_t i = 0; i < arrays.size(); ++i) model_->set_state(i, arrays[i].data());
    }

    // (name, dtype, shape) of values.
    nb::list describe(const std::vector<int>& values) const {
        nb::list result;
        for (const int index : values) {
            const Value& value = graph().values[static_cast<std::size_t>(index)];
            result.append(nb::make_tuple(value.name, std::string(name(value.type.dtype)), dims(value.type.shape)));
        }
        return result;
    }

    nb::list states() const {
        std::vector<int> values;
        for (const State& state : graph().states) values.push_back(state.value);
        return describe(values);
    }

private:
    struct Inputs {
        std::vector<Array> arrays;
        std::vector<Shape> shapes;
        std::vector<const void*> data;
    };

    Inputs read(nb::sequence given) const {
        if (nb::len(given) != graph().inputs.size()) fail("the model has ", graph().inputs.size(), " inputs, got ", nb::len(given));
        Inputs inputs;
        for (std::size_t i = 0; i < graph().inputs.size(); ++i) {
            const Value& value = graph().values[static_cast<std::size_t>(graph().inputs[i])];
            inputs.arrays.push_back(array_of<Array>(given[i], cat("input ", quoted(value.name)), value.type.dtype));
            inputs.shapes.push_back(shape_of(inputs.arrays.back()));
            inputs.data.push_back(inputs.arrays.back().data());
        }
        return inputs;
    }

    nb::list dims(const std::vector<Dim>& shape) const {
        nb::list result;
        for (const Dim& dim : shape) {
            if (is_constant(dim))
                result.append(dim.coefficient);
            else
                result.append(text(dim, graph().symbols));
        }
        return result;
    }

    nb::dict attributes(const Node& node) const {
        nb::dict result;
        for (const auto& [name, attribute] : node.attributes)
            result[name.c_str()] = std::visit(
                [&](const auto& value) -> nb::object {
                    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<Dim>>)
                        return dims(value);
                    else
                        return nb::cast(value);
                },
                attribute);
        return result;
    }

    const Value& value_of(std::size_t state) const {
        return graph().values[static_cast<std::size_t>(graph().states[state].value)];
    }

    std::unique_ptr<Model> model_;
};

}  // namespace

}  // namespace onebit

NB_MODULE(_engine, m) {
    using onebit::Engine;
    m.doc() = "The native engine: onebit.runtime is its face.";
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const std::system_error& error) {
            PyErr_SetString(PyExc_OSError, error.what());
        }
    });
    m.def("available_isas", &onebit::available_isas, "Names of the instruction sets this processor has, fastest first.");
    m.def("peak", &onebit::peak, nb::arg("isa"), nb::arg("arithmetic"), nb::arg("seconds"), nb::call_guard<nb::gil_scoped_release>(),
          "Multiply-accumulates per second of the bare kernel on data in the first-level cache; arithmetic is 'bits', 'pairs' or "
          "'floats'.");
    m.def("clock", &onebit::clock, nb::arg("seconds"), nb::call_guard<nb::gil_scoped_release>(),
          "Cycles per second of a busy core, from a chain of dependent additions; 0: not known on this processor.");
    nb::class_<onebit::PlainRead>(m, "PlainRead", "Reads memory and does nothing else with it: what streamed weights are measured against.")
        .def("__init__", [](onebit::PlainRead* self, const std::string& isa, int threads) { new (self) onebit::PlainRead(isa, threads); },
             nb::arg("isa") = "", nb::arg("threads") = 1)
        .def("sum", [](onebit::PlainRead& self, nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> words) {
            const nb::gil_scoped_release release;
            return self.sum(words.data(), static_cast<std::int64_t>(words.size()));
        }, "The sum of 32-bit words, modulo 2^32.");
    nb::class_<Engine>(m, "Model")
        .def(nb::init<nb::object, int, const std::optional<std::string>&, std::optional<std::size_t>, std::int64_t, bool>(),
             nb::arg("data"),
             nb::arg("threads") = 1, nb::arg("isa") = nb::none(), nb::arg("max_memory") = nb::none(),
             nb::arg("grain") = onebit::Threads::default_grain, nb::arg("shared_threads") = false)
        .def("run", [](Engine& e, nb::sequence inputs, std::optional<nb::sequence> outputs) { return e.run(inputs, outputs); },
             nb::arg("inputs"), nb::arg("outputs") = nb::none())
        .def("profile", &Engine::profile, nb::arg("inputs"), nb::arg("outputs") = nb::none())
        .def("steps", &Engine::steps, nb::arg("inputs"))
        .def("state", &Engine::state)
        .def("set_state", &Engine::set_state)
        .def_prop_ro("inputs", [](const Engine& e) { return e.describe(e.graph().inputs); })
        .def_prop_ro("outputs", [](const Engine& e) { return e.describe(e.graph().outputs); })
        .def_prop_ro("states", &Engine::states)
        .def_prop_ro("isa", [](const Engine& e) { return e.model().isa(); })
        .def_prop_ro("threads", [](const Engine& e) { return e.model().threads(); })
        .def_prop_ro("meta", [](const Engine& e) { return e.graph().meta; });
}
