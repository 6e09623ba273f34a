// Reading the tape of json.hpp, and writing it.
#include "json.hpp"

#include <algorithm>
#include <cstdio>

namespace onebit::json {

namespace {

void dump_string(std::string& text, std::string_view string) {
    constexpr char digits[] = "0123456789abcdef";
    text += '"';
    for (const char c : string) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text += '\\';
            text += c;
        } else if (byte < 0x20) {
            text += "\\u00";
            text += digits[byte >> 4];
            text += digits[byte & 15];
        } else {
            text += c;
        }
    }
    text += '"';
}

void dump_value(std::string& text, const Value& value);

template <class Sequence, class Write>
void dump_list(std::string& text, char open, char close, const Sequence& sequence, Write write) {
    text += open;
    bool first = true;
    for (const auto& item : sequence) {
        if (!first) text += ',';
        first = false;
        write(item);
    }
    text += close;
}

void dump_value(std::string& text, const Value& value) {
    switch (value.kind()) {
        case Kind::null: text += "null"; break;
        case Kind::boolean: text += value.boolean() ? "true" : "false"; break;
        case Kind::integer: text += std::to_string(value.integer()); break;
        case Kind::real: {
            char buffer[40];
            const int length = std::snprintf(buffer, sizeof buffer, "%.17g", value.number());
            std::replace(buffer, buffer + length, ',', '.');  // whatever the locale of the process says
            text.append(buffer, static_cast<std::size_t>(length));
            if (std::string_view(buffer, static_cast<std::size_t>(length)).find_first_of(".e") == std::string_view::npos) text += ".0";
            break;
        }
        case Kind::string: dump_string(text, value.string()); break;
        case Kind::array:
            dump_list(text, '[', ']', value.items(), [&](const Value& item) { dump_value(text, item); });
            break;
        case Kind::object:
            dump_list(text, '{', '}', value.members(), [&](const auto& member) {
                dump_string(text, member.first);
                text += ':';
                dump_value(text, member.second);
            });
            break;
    }
}

}  // namespace

Kind Value::kind() const { return document_->entries_[index_].kind; }
bool Value::boolean() const { return document_->entries_[index_].boolean; }
std::int64_t Value::integer() const { return document_->entries_[index_].integer; }

double Value::number() const {
    const auto& entry = document_->entries_[index_];
    return entry.kind == Kind::integer ? static_cast<double>(entry.integer) : entry.real;
}

std::string_view Value::string() const {
    const auto& entry = document_->entries_[index_];
    return std::string_view(document_->strings_).substr(entry.offset, entry.size);
}

std::size_t Value::size() const { return document_->entries_[index_].size; }

std::size_t Value::end() const {
    return is(Kind::array) || is(Kind::object) ? document_->entries_[index_].end : index_ + 1;
}

std::vector<Value> Value::items() const {
    std::vector<Value> items;
    items.reserve(size());
    std::size_t at = index_ + 1;
    for (std::size_t i = 0; i < size(); ++i) {
        items.emplace_back(*document_, at);
        at = items.back().end();
    }
    return items;
}

std::vector<std::pair<std::string_view, Value>> Value::members() const {
    std::vector<std::pair<std::string_view, Value>> members;
    members.reserve(size());
    std::size_t at = index_ + 1;
    for (std::size_t i = 0; i < size(); ++i) {
        const Value key(*document_, at);
        members.emplace_back(key.string(), Value(*document_, at + 1));
        at = members.back().second.end();
    }
    return members;
}

std::string Value::dump() const {
    std::string text;
    dump_value(text, *this);
    return text;
}

}  // namespace onebit::json
