// The parser of json.hpp: text to tape.
#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#if !defined(__cpp_lib_to_chars)
#include <locale>
#include <sstream>
#endif

#include "text.hpp"

namespace onebit::json {

namespace {

constexpr int max_depth = 16;
constexpr std::size_t max_text = 100'000'000;  // the limit of safetensors' own header

// Length of the UTF-8 sequence at text[at], 0 when it is not one (overlong, surrogate, beyond U+10FFFF, cut).
std::size_t utf8_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
    const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
        return byte(i) >= low && byte(i) <= high;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
    if (first == 0xE0) return tail(1, 0xA0) && tail(2) ? 3 : 0;
    if (first == 0xED) return tail(1, 0x80, 0x9F) && tail(2) ? 3 : 0;
    if (first >= 0xE1 && first <= 0xEF) return tail(1) && tail(2) ? 3 : 0;
    if (first == 0xF0) return tail(1, 0x90) && tail(2) && tail(3) ? 4 : 0;
    if (first >= 0xF1 && first <= 0xF3) return tail(1) && tail(2) && tail(3) ? 4 : 0;
    if (first == 0xF4) return tail(1, 0x80, 0x8F) && tail(2) && tail(3) ? 4 : 0;
    return 0;
}

void append_utf8(std::string& text, unsigned code) {
    if (code < 0x80) {
        text += static_cast<char>(code);
    } else if (code < 0x800) {
        text += static_cast<char>(0xC0 | code >> 6);
        text += static_cast<char>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        text += static_cast<char>(0xE0 | code >> 12);
        text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        text += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        text += static_cast<char>(0xF0 | code >> 18);
        text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
        text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        text += static_cast<char>(0x80 | (code & 0x3F));
    }
}

bool parse_real(std::string_view text, double& value) {
#if defined(__cpp_lib_to_chars)
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
#else
    std::istringstream stream{std::string(text)};
    stream.imbue(std::locale::classic());
    return static_cast<bool>(stream >> value) && stream.peek() == std::istringstream::traits_type::eof();
#endif
}

}  // namespace

class Parser {
public:
    Parser(std::string_view text, std::string_view what, Document& document)
        : text_(text), what_(what), entries_(document.entries_), strings_(document.strings_), document_(document) {}

    void run() {
        if (text_.size() > max_text) fail(what_, " is longer than ", max_text, " bytes");
        value(0);
        spaces();
        if (at_ != text_.size()) wrong("nothing may follow the value");
    }

private:
    using Entry = Document::Entry;

    template <class... Parts>
    [[noreturn]] void wrong(const Parts&... parts) const {
        fail(what_, ", byte ", at_, ": ", parts...);
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void spaces() {
        while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
    }

    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }

    void literal(std::string_view word, Entry entry) {
        if (text_.substr(at_, word.size()) != word) wrong("expected a JSON value");
        at_ += word.size();
        entries_.push_back(entry);
    }

    void value(int depth) {
        spaces();
        switch (peek()) {
            case '{': object(depth); break;
            case '[': array(depth); break;
            case '"': string(); break;
            case 't': literal("true", {Kind::boolean, 0, {.boolean = true}}); break;
            case 'f': literal("false", {Kind::boolean, 0, {.boolean = false}}); break;
            case 'n': literal("null", {Kind::null, 0, {.boolean = false}}); break;
            default: number(); break;
        }
    }

    std::size_t open(Kind kind, int depth) {
        if (depth >= max_depth) wrong("nested deeper than ", max_depth);
        ++at_;
        entries_.push_back({kind, 0, {.end = 0}});
        spaces();
        return entries_.size() - 1;
    }

    void array(int depth) {
        const std::size_t self = open(Kind::array, depth);
        std::uint32_t size = 0;
        if (!take(']')) {
            do {
                value(depth + 1);
                ++size;
                spaces();
            } while (take(','));
            if (!take(']')) wrong("expected , or ]");
        }
        entries_[self].size = size;
        entries_[self].end = entries_.size();
    }

    void object(int depth) {
        const std::size_t self = open(Kind::object, depth);
        std::uint32_t size = 0;
        if (!take('}')) {
            do {
                spaces();
                if (peek() != '"') wrong("expected a key");
                string();
                spaces();
                if (!take(':')) wrong("expected :");
                value(depth + 1);
                ++size;
                spaces();
            } while (take(','));
            if (!take('}')) wrong("expected , or }");
        }
        entries_[self].size = size;
        entries_[self].end = entries_.size();
        std::vector<std::string_view> keys;
        keys.reserve(size);
        for (const auto& [key, unused] : Value(document_, self).members()) keys.push_back(key);
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice != keys.end()) wrong("the key ", quoted(*twice), " occurs twice");
    }

    unsigned hex4() {
        unsigned code = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) wrong("expected four hexadecimal digits");
            code = code * 16 + static_cast<unsigned>(digit);
            ++at_;
        }
        return code;
    }

    void escape() {
        const char c = peek();
        ++at_;
        switch (c) {
            case '"': case '\\': case '/': strings_ += c; return;
            case 'b': strings_ += '\b'; return;
            case 'f': strings_ += '\f'; return;
            case 'n': strings_ += '\n'; return;
            case 'r': strings_ += '\r'; return;
            case 't': strings_ += '\t'; return;
            case 'u': break;
            default: --at_; wrong("unknown escape");
        }
        unsigned code = hex4();
        if (code >= 0xDC00 && code <= 0xDFFF) wrong("a surrogate without its partner");
        if (code >= 0xD800 && code <= 0xDBFF) {
            if (!take('\\') || !take('u')) wrong("a surrogate without its partner");
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) wrong("a surrogate without its partner");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        append_utf8(strings_, code);
    }

    void string() {
        ++at_;
        const std::size_t start = strings_.size();
        for (;;) {
            if (at_ >= text_.size()) wrong("a string without its end");
            const auto byte = static_cast<unsigned char>(text_[at_]);
            if (byte == '"') break;
            if (byte < 0x20) wrong("a control character in a string");
            if (byte == '\\') {
                ++at_;
                escape();
                continue;
            }
            const std::size_t length = utf8_length(text_, at_);
            if (length == 0) wrong("not UTF-8");
            strings_.append(text_, at_, length);
            at_ += length;
        }
        ++at_;
        entries_.push_back({Kind::string, static_cast<std::uint32_t>(strings_.size() - start), {.offset = start}});
    }

    bool digits() {
        const std::size_t start = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ > start;
    }

    void number() {
        const std::size_t start = at_;
        bool real = false;
        take('-');
        if (!take('0') && !digits()) {
            at_ = start;
            wrong("expected a JSON value");
        }
        if (take('.')) {
            real = true;
            if (!digits()) wrong("expected a digit");
        }
        if (peek() == 'e' || peek() == 'E') {
            real = true;
            ++at_;
            if (!take('+')) take('-');
            if (!digits()) wrong("expected a digit");
        }
        const std::string_view text = text_.substr(start, at_ - start);
        Entry entry{real ? Kind::real : Kind::integer, 0, {.integer = 0}};
        if (real) {
            if (!parse_real(text, entry.real)) wrong("a number outside float64");
        } else {
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), entry.integer);
            if (error != std::errc() || end != text.data() + text.size()) wrong("an integer outside int64");
        }
        entries_.push_back(entry);
    }

    std::string_view text_;
    std::string_view what_;
    std::vector<Entry>& entries_;
    std::string& strings_;
    const Document& document_;
    std::size_t at_ = 0;
};

Document::Document(std::string_view text, std::string_view what) { Parser(text, what, *this).run(); }

}  // namespace onebit::json
