// The safetensors container: which bytes of the file are which tensor. Nothing is copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onebit {

enum class Storage : std::uint8_t { f32, i8, u8, i32, i64, u64, boolean };

struct Stored {
    std::string name;
    Storage storage = Storage::f32;
    std::vector<std::int64_t> shape;
    std::span<const std::byte> bytes;
};

struct Container {
    std::string text;  // of the metadata's one entry, `onebit`
    std::vector<Stored> tensors;
};

// Bytes of one element.
std::size_t storage_bytes(Storage storage);
std::string_view storage_name(Storage storage);

// Header and offsets checked: sizes agree, tensors neither overlap nor leave holes, names are unique.
Container read_container(std::span<const std::byte> file);

}  // namespace onebit
