// Errors of the loader: one sentence put together from its parts, thrown as std::invalid_argument.
#pragma once

#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

namespace onebit {

namespace detail {
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, std::integral auto part) { text += std::to_string(part); }
inline void append(std::string& text, double part) { text += std::to_string(part); }
}  // namespace detail

template <class... Parts>
std::string cat(const Parts&... parts) {
    std::string text;
    (detail::append(text, parts), ...);
    return text;
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw std::invalid_argument(cat(parts...));
}

// A name as an error quotes it: shortened when long, control characters written out (an error is one line).
inline std::string quoted(std::string_view name) {
    std::size_t end = name.size();
    if (end > 64) {
        end = 60;
        while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;  // never inside a UTF-8 sequence
    }
    constexpr char digits[] = "0123456789abcdef";
    std::string text = "'";
    for (std::size_t i = 0; i < end; ++i) {
        const auto byte = static_cast<unsigned char>(name[i]);
        const bool second = byte == 0xC2 && i + 1 < end && static_cast<unsigned char>(name[i + 1]) < 0xA0;  // U+0080 to U+009F
        if (byte >= 0x20 && byte != 0x7F && !second) {
            text += name[i];
            continue;
        }
        const auto code = second ? static_cast<unsigned char>(name[++i]) : byte;
        text += "\\x";
        text += digits[code >> 4];
        text += digits[code & 15];
    }
    return text + (end < name.size() ? "...'" : "'");
}

// Runs `what`, and puts `where` before the sentence of an error.
template <class Where, class What>
auto with_place(Where where, What what) {
    try {
        return what();
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(cat(where(), ": ", error.what()));
    }
}

}  // namespace onebit
