#include "container.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "dims.hpp"
#include "json.hpp"
#include "text.hpp"

namespace onebit {

static_assert(std::endian::native == std::endian::little, "the packed file is little endian, and is read as it stands");

namespace {

constexpr std::array<std::pair<std::string_view, std::size_t>, 7> storages{
    {{"F32", 4}, {"I8", 1}, {"U8", 1}, {"I32", 4}, {"I64", 8}, {"U64", 8}, {"BOOL", 1}}};

Storage read_storage(std::string_view name, const json::Value& value) {
    if (!value.is(json::Kind::string)) fail("tensor ", quoted(name), ": dtype must be a string");
    for (std::size_t i = 0; i < storages.size(); ++i) {
        if (storages[i].first == value.string()) return static_cast<Storage>(i);
    }
    fail("tensor ", quoted(name), ": dtype must be F32, I8, U8, I32, I64, U64 or BOOL, got ", quoted(value.string()));
}

// A list of integers of at least 0, nothing else.
std::vector<std::int64_t> read_sizes(std::string_view name, std::string_view what, const json::Value& value, std::size_t most) {
    if (!value.is(json::Kind::array)) fail("tensor ", quoted(name), ": ", what, " must be a list");
    if (value.size() > most) fail("tensor ", quoted(name), ": ", what, " must have at most ", most, " entries, got ", value.size());
    std::vector<std::int64_t> sizes;
    for (const json::Value& item : value.items()) {
        if (!item.is(json::Kind::integer) || item.integer() < 0) {
            fail("tensor ", quoted(name), ": ", what, " must hold integers of at least 0");
        }
        sizes.push_back(item.integer());
    }
    return sizes;
}

Stored read_tensor(std::string_view name, const json::Value& entry, std::span<const std::byte> data) {
    check_name(name);
    if (!entry.is(json::Kind::object)) fail("tensor ", quoted(name), ": its entry must be an object");
    std::optional<Storage> storage;
    std::optional<std::vector<std::int64_t>> shape;
    std::optional<std::vector<std::int64_t>> offsets;
    for (const auto& [key, value] : entry.members()) {
        if (key == "dtype") {
            storage = read_storage(name, value);
        } else if (key == "shape") {
            shape = read_sizes(name, "shape", value, max_rank);
        } else if (key == "data_offsets") {
            offsets = read_sizes(name, "data_offsets", value, 2);
        } else {
            fail("tensor ", quoted(name), ": unknown key ", quoted(key));
        }
    }
    if (!storage || !shape || !offsets || offsets->size() != 2) {
        fail("tensor ", quoted(name), ": needs dtype, shape and two data_offsets");
    }
    const std::int64_t begin = (*offsets)[0];
    const std::int64_t end = (*offsets)[1];
    if (begin > end || static_cast<std::uint64_t>(end) > data.size()) {
        fail("tensor ", quoted(name), ": data_offsets [", begin, ", ", end, "] lie outside the ", data.size(), " bytes of data");
    }
    const std::int64_t bytes = multiply(element_count(*shape), static_cast<std::int64_t>(storage_bytes(*storage)));
    if (bytes != end - begin) {
        fail("tensor ", quoted(name), ": its shape takes ", bytes, " bytes, data_offsets span ", end - begin);
    }
    return {std::string(name), *storage, std::move(*shape),
            data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes))};
}

std::string read_metadata(const json::Value& entry) {
    if (!entry.is(json::Kind::object) || entry.size() != 1 || entry.members()[0].first != "onebit" ||
        !entry.members()[0].second.is(json::Kind::string)) {
        fail("__metadata__ must have the one key 'onebit', a string: this is not a packed network");
    }
    return std::string(entry.members()[0].second.string());
}

// Tensors lie one after another from the first byte to the last.
void check_layout(const std::vector<Stored>& tensors, std::span<const std::byte> data) {
    std::vector<std::pair<std::size_t, std::size_t>> order;  // begin, end
    order.reserve(tensors.size());
    for (const Stored& tensor : tensors) {
        const auto begin = static_cast<std::size_t>(tensor.bytes.data() - data.data());
        order.emplace_back(begin, begin + tensor.bytes.size());
    }
    std::sort(order.begin(), order.end());
    std::size_t reached = 0;
    for (const auto& [begin, end] : order) {
        if (begin < reached) fail("tensors overlap at byte ", begin, " of the data");
        if (begin > reached) fail("bytes ", reached, " to ", begin, " of the data belong to no tensor");
        reached = end;
    }
    if (reached != data.size()) fail("bytes ", reached, " to ", data.size(), " of the data belong to no tensor");
}

}  // namespace

std::size_t storage_bytes(Storage storage) { return storages[static_cast<std::size_t>(storage)].second; }
std::string_view storage_name(Storage storage) { return storages[static_cast<std::size_t>(storage)].first; }

Container read_container(std::span<const std::byte> file) {
    std::uint64_t length = 0;
    if (file.size() < sizeof length) fail("a packed file has at least 8 bytes, this one has ", file.size());
    std::memcpy(&length, file.data(), sizeof length);
    file = file.subspan(sizeof length);
    if (length > file.size()) fail("the header says it has ", length, " bytes, ", file.size(), " are left in the file");
    const std::string_view text(reinterpret_cast<const char*>(file.data()), static_cast<std::size_t>(length));
    const std::span<const std::byte> data = file.subspan(static_cast<std::size_t>(length));
    if (text.empty() || text.front() != '{') fail("the header must begin with {: this is not a safetensors file");

    const json::Document header(text, "the header");
    Container container;
    bool metadata = false;
    for (const auto& [name, entry] : header.root().members()) {
        if (name == "__metadata__") {
            container.text = read_metadata(entry);
            metadata = true;
        } else {
            container.tensors.push_back(read_tensor(name, entry, data));
        }
    }
    if (!metadata) fail("__metadata__ is missing: this is not a packed network");
    check_layout(container.tensors, data);
    return container;
}

}  // namespace onebit
