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

// A name as an error quotes it: shortened when long.
inline std::string quoted(std::string_view name) {
    if (name.size() <= 64) return cat("'", name, "'");
    std::size_t cut = 60;
    while (cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80) --cut;  // never inside a UTF-8 sequence
    return cat("'", name.substr(0, cut), "...'");
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
