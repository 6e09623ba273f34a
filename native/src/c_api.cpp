// The functions of include/onebit.h: what goes wrong behind them becomes a status and a sentence, and no exception gets out.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>

#include "c_model.hpp"
#include "cpu.hpp"
#include "onebit.h"
#include "text.hpp"

using namespace onebit;

namespace {

thread_local char last_error[1024] = "";

// Cut between two characters of UTF-8 where it is too long.
onebit_status refuse(onebit_status status, std::string_view text) noexcept {
    std::size_t size = std::min(text.size(), sizeof last_error - 1);
    while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
    std::memcpy(last_error, text.data(), size);
    last_error[size] = '\0';
    return status;
}

class BadFile : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class NoFile : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

template <class Body>
onebit_status guard(const Body& body) noexcept {
    try {
        body();
        return ONEBIT_OK;
    } catch (const BadFile& error) {
        return refuse(ONEBIT_BAD_FILE, error.what());
    } catch (const NoFile& error) {
        return refuse(ONEBIT_NO_FILE, error.what());
    } catch (const MemoryLimit& error) {
        return refuse(ONEBIT_NO_MEMORY, error.what());
    } catch (const std::invalid_argument& error) {
        return refuse(ONEBIT_BAD_ARGUMENT, error.what());
    } catch (const std::bad_alloc&) {
        return refuse(ONEBIT_NO_MEMORY, "the system has no memory left for this");
    } catch (const std::exception& error) {
        return refuse(ONEBIT_FAILED, error.what());
    } catch (...) {
        return refuse(ONEBIT_FAILED, "something failed that has no description");
    }
}

template <class T>
T* checked(T* pointer, const char* name) {
    if (pointer == nullptr) fail(name, " must not be NULL");
    return pointer;
}

// Fields that this library does not know must be 0: what they ask for would be ignored.
onebit_options read_options(const onebit_options* given) {
    onebit_options options = ONEBIT_DEFAULTS;
    if (given == nullptr) return options;
    constexpr std::size_t most = 4096;  // a size beyond is no size: it would be read from who knows where
    if (given->size < sizeof options || given->size > most)
        fail("options.size must be sizeof(onebit_options), ", sizeof options, "..", most, ", got ", given->size);
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    if (std::any_of(bytes + sizeof options, bytes + given->size, [](int byte) { return byte != 0; }))
        fail("options has a field that this library, version ", onebit_version(), ", does not know");
    options = *given;
    if (options.reserved != 0) fail("options.reserved must be 0, got ", options.reserved);
    return options;
}

std::string read_isa(const onebit_options& options) {
    if (options.isa != nullptr) return choose_isa(options.isa).name;
    const char* named = std::getenv("ONEBIT_ISA");
    if (named == nullptr || *named == '\0') return "";
    return with_place([] { return "ONEBIT_ISA"; }, [&] { return choose_isa(named).name; });
}

std::vector<std::byte> read_file(const char* path) {
    const auto because = [&] { return NoFile(cat(path, " cannot be read: ", std::generic_category().message(errno))); };
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "rb"), std::fclose);
    if (!file) throw because();
    std::vector<std::byte> bytes;
    for (std::size_t size = 0, got = 1; got != 0; bytes.resize(size += got)) {
        bytes.resize(std::max(2 * size, std::size_t{1} << 16));
        got = std::fread(bytes.data() + size, 1, bytes.size() - size, file.get());
        if (got == 0 && std::ferror(file.get())) throw because();
    }
    return bytes;
}

onebit_model* load(std::span<const std::byte> bytes, std::string_view source, const onebit_options& options) {
    const std::string isa = read_isa(options);
    Graph graph = [&] {
        try {
            return load_graph(bytes);
        } catch (const std::invalid_argument& error) {
            throw BadFile(cat(source, " is no packed network: ", error.what()));
        }
    }();
    return new onebit_model(std::move(graph), options.threads == 0 ? 1 : options.threads, isa,
                            options.max_memory == 0 ? std::nullopt : std::optional<std::size_t>(options.max_memory));
}

template <class Item>
const Item* item(const onebit_model* model, std::vector<Item> onebit_model::*items, const char* what, std::size_t index) noexcept {
    const Item* found = nullptr;
    guard([&] {
        const std::vector<Item>& all = checked(model, "model")->*items;
        if (index >= all.size()) fail("the model has ", all.size(), " ", what, ", got index ", index);
        found = &all[index];
    });
    return found;
}

}  // namespace

const char* onebit_version(void) { return ONEBIT_VERSION; }
const char* onebit_error(void) { return last_error; }
const char* onebit_isa_name(size_t index) { return isa_name(index); }

onebit_status onebit_load(const char* path, const onebit_options* options, onebit_model** model) {
    return guard([&] {
        *checked(model, "model") = nullptr;
        const onebit_options read = read_options(options);
        checked(path, "path");
        *model = load(read_file(path), path, read);
    });
}

onebit_status onebit_load_memory(const void* data, size_t bytes, const onebit_options* options, onebit_model** model) {
    return guard([&] {
        *checked(model, "model") = nullptr;
        const onebit_options read = read_options(options);
        checked(data, "data");
        *model = load({static_cast<const std::byte*>(data), bytes}, "data", read);
    });
}

void onebit_free(onebit_model* model) { delete model; }

size_t onebit_input_count(const onebit_model* model) { return model == nullptr ? 0 : model->inputs.size(); }
size_t onebit_output_count(const onebit_model* model) { return model == nullptr ? 0 : model->outputs.size(); }
size_t onebit_state_count(const onebit_model* model) { return model == nullptr ? 0 : model->states.size(); }
const onebit_port* onebit_input(const onebit_model* model, size_t index) { return item(model, &onebit_model::inputs, "inputs", index); }
const onebit_port* onebit_output(const onebit_model* model, size_t index) { return item(model, &onebit_model::outputs, "outputs", index); }
const onebit_port* onebit_state(const onebit_model* model, size_t index) { return item(model, &onebit_model::states, "states", index); }

const char* onebit_isa(const onebit_model* model) { return model == nullptr ? nullptr : model->model.isa().c_str(); }

const char* onebit_class_name(const onebit_model* model, size_t index) {
    return model == nullptr || index >= model->classes.size() ? nullptr : model->classes[index].c_str();
}
size_t onebit_channel_count(const onebit_model* model) { return model == nullptr ? 0 : model->mean.size(); }
const float* onebit_mean(const onebit_model* model) { return onebit_channel_count(model) == 0 ? nullptr : model->mean.data(); }
const float* onebit_std(const onebit_model* model) { return onebit_channel_count(model) == 0 ? nullptr : model->deviation.data(); }

onebit_status onebit_prepare(onebit_model* model, const onebit_array* inputs, size_t input_count, onebit_array* outputs,
                             size_t output_count, uint64_t* memory) {
    return guard([&] {
        const std::size_t bytes = checked(model, "model")->prepare(inputs, input_count, outputs, output_count);
        if (memory != nullptr) *memory = bytes;
    });
}

onebit_status onebit_run(onebit_model* model, const onebit_array* inputs, size_t input_count, onebit_array* outputs,
                         size_t output_count) {
    return guard([&] { checked(model, "model")->run(inputs, input_count, outputs, output_count); });
}

onebit_status onebit_get_state(onebit_model* model, size_t index, void* data, size_t bytes) {
    return guard([&] { checked(model, "model")->get_state(index, data, bytes); });
}

onebit_status onebit_set_state(onebit_model* model, size_t index, const void* data, size_t bytes) {
    return guard([&] { checked(model, "model")->set_state(index, data, bytes); });
}

onebit_status onebit_reset(onebit_model* model) {
    return guard([&] { checked(model, "model")->model.reset(); });
}
