// A strict reader of JSON (RFC 8259) for files that nobody vouches for: UTF-8 checked, duplicate keys, NaN, numbers
// outside int64 or double and deep nesting refused. The document is one flat tape: 16 bytes a value, so memory is at most
// a small multiple of the text. Errors are std::invalid_argument.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onebit::json {

enum class Kind : std::uint8_t { null, boolean, integer, real, string, array, object };

class Document;

// A value inside a document; valid as long as the document lives.
class Value {
public:
    Value(const Document& document, std::size_t index) : document_(&document), index_(index) {}

    Kind kind() const;
    bool is(Kind wanted) const { return kind() == wanted; }
    bool is_number() const { return is(Kind::integer) || is(Kind::real); }

    bool boolean() const;
    std::int64_t integer() const;
    double number() const;  // of an integer or a real
    std::string_view string() const;
    std::size_t size() const;                                        // of an array or object
    std::vector<Value> items() const;                                // of an array
    std::vector<std::pair<std::string_view, Value>> members() const;  // of an object, in the order of the text
    std::string dump() const;                                        // compact JSON

private:
    friend class Document;
    std::size_t end() const;  // index of the entry after this value
    const Document* document_;
    std::size_t index_;
};

class Document {
public:
    // `what` names the text in errors. Trailing spaces are allowed.
    Document(std::string_view text, std::string_view what);
    Document(const Document&) = delete;
    Document& operator=(const Document&) = delete;
    Value root() const { return Value(*this, 0); }

private:
    friend class Value;
    friend class Parser;
    struct Entry {
        Kind kind;
        std::uint32_t size;  // bytes of a string, items of an array, members of an object
        union {
            bool boolean;
            std::int64_t integer;
            double real;
            std::uint64_t offset;  // of a string in strings_
            std::uint64_t end;     // of an array or object: index of the entry after it
        };
    };
    std::vector<Entry> entries_;
    std::string strings_;
};

}  // namespace onebit::json
