// The loader and a run under clang's libFuzzer, which looks for inputs that reach new code (`make fuzz`).
//
// A packed file is JSON in a string in JSON behind a length, so single bytes rarely change anything but the verdict of the
// outermost reader. Half of the mutations here know the layers: they take the graph out, change a token or a bracketed
// piece of it, and put the file together again.
#include "../tests/judge.hpp"

#include <algorithm>
#include <string_view>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

constexpr std::string_view words[] = {
    "conv", "linear", "matmul", "affine", "threshold", "sign", "quantize", "cast", "add", "sub", "mul", "div", "max", "min",
    "neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu", "clip", "prelu", "compare", "logical_and", "logical_or",
    "logical_not", "where", "max_pool", "avg_pool", "reduce", "softmax", "layer_norm", "embedding", "reshape", "transpose",
    "concat", "slice", "pad", "broadcast_to", "float32", "int8", "uint8", "int32", "int64", "bool", "bit", "stride", "padding",
    "dilation", "groups", "pad_value", "low", "high", "zero_point", "dtype", "axis", "shape", "perm", "kernel", "op", "keepdims",
    "eps", "value", "pads", "start", "stop", "step", "count_include_pad", "states", "bits", "meta", "mean", "std", "batch",
    "2*batch", "F32", "I8", "U64", "BOOL", "data_offsets"};
constexpr std::string_view numbers[] = {"0", "1", "2", "3", "7", "8", "31", "32", "33", "63", "64", "65", "127", "-1", "-128", "255", "65535",
                                        "2147483647", "281474976710656", "9223372036854775807", "1e38", "-0.0", "0.5", "true", "null"};

// A number, word, string or bracketed piece of JSON.
struct Piece {
    std::size_t begin, end;
    char kind;  // '"', '0' or '['
};

std::vector<Piece> pieces_of(std::string_view text) {
    std::vector<Piece> pieces;
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t begin = i;
        if (text[i] == '"') {
            for (++i; i < text.size() && text[i] != '"'; ++i) i += text[i] == '\\';
            i = std::min(i + 1, text.size());
            pieces.push_back({begin, i, '"'});
        } else if (text[i] == '[' || text[i] == '{') {
            open.push_back(i++);
        } else if (text[i] == ']' || text[i] == '}') {
            ++i;
            if (open.empty()) continue;
            pieces.push_back({open.back(), i, '['});
            open.pop_back();
        } else if (text[i] == ',' || text[i] == ':') {
            ++i;
        } else {
            while (i < text.size() && std::string_view(",:[]{}\"").find(text[i]) == std::string_view::npos) ++i;
            pieces.push_back({begin, i, '0'});
        }
    }
    return pieces;
}

void change_bytes(std::string& text, std::size_t begin, std::size_t end) {
    std::string part = text.substr(begin, end - begin);
    const std::size_t size = part.size();
    part.resize(size + 64);
    part.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(part.data()), size, part.size()));
    text.replace(begin, end - begin, part);
}

void change_text(std::string& text, std::mt19937& random) {
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    const std::vector<Piece> pieces = pieces_of(text);
    if (pieces.empty()) return change_bytes(text, 0, text.size());
    const Piece piece = pieces[below(pieces.size())], other = pieces[below(pieces.size())];
    const auto put = [&](std::string_view part) { text.replace(piece.begin, piece.end - piece.begin, std::string(part)); };
    const std::string whole = text.substr(piece.begin, piece.end - piece.begin);
    switch (below(8)) {
        case 0: return change_bytes(text, piece.begin, piece.end);
        case 1: return put(text.substr(other.begin, other.end - other.begin));
        case 2: return put(whole + "," + whole);
        case 3: {  // out, with its comma
            std::size_t begin = piece.begin, end = piece.end;
            if (end < text.size() && text[end] == ',') ++end;
            else if (begin > 0 && text[begin - 1] == ',') --begin;
            text.erase(begin, end - begin);
            return;
        }
        case 4: return put("[" + whole + "]");
        default: break;
    }
    if (piece.kind == '[') return put(text.substr(other.begin, other.end - other.begin));
    if (piece.kind == '"') return put("\"" + std::string(words[below(std::size(words))]) + "\"");
    put(numbers[below(std::size(numbers))]);
}

std::string unescaped(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) ++i;
        plain += text[i];
    }
    return plain;
}

std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result;
}

// The layers of a file, changed in one of them; empty where it has none.
std::string changed_file(std::string_view file, std::mt19937& random) {
    std::uint64_t length = 0;
    if (file.size() < sizeof length) return {};
    std::memcpy(&length, file.data(), sizeof length);
    if (length > file.size() - sizeof length) return {};
    std::string header(file.substr(sizeof length, length));
    std::string data(file.substr(sizeof length + length));
    constexpr std::string_view key = "\"onebit\":\"";
    const std::size_t begin = header.find(key);
    if (begin == std::string::npos) return {};
    std::size_t end = begin + key.size();
    while (end < header.size() && header[end] != '"') end += header[end] == '\\' ? 2 : 1;
    if (end >= header.size()) return {};
    std::string graph = unescaped(std::string_view(header).substr(begin + key.size(), end - begin - key.size()));
    header = header.substr(0, begin + key.size()) + "@" + header.substr(end);
    const auto which = random() % 8;
    if (which == 0 && !data.empty()) change_bytes(data, 0, data.size());
    else if (which == 1) change_text(header, random);
    else change_text(graph, random);
    if (const std::size_t at = header.find('@'); at != std::string::npos) header.replace(at, 1, escaped(graph));
    length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    std::mt19937 random(seed);
    if (random() % 8 != 0) {
        const std::string file = changed_file({reinterpret_cast<const char*>(data), size}, random);
        if (!file.empty() && file.size() <= most) {
            std::memcpy(data, file.data(), file.size());
            return file.size();
        }
    }
    return LLVMFuzzerMutate(data, size, most);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Verdict verdict = judge(std::as_bytes(std::span(data, size)), std::size_t{1} << 22);
    if (!verdict.within(size)) {
        std::fprintf(stderr, "loading %zu bytes held %zu bytes: %s\n", size, verdict.bytes, verdict.text.c_str());
        std::abort();
    }
    if (verdict.text.find('\n') != std::string::npos || verdict.text.empty() || verdict.text.size() > 2000) {
        std::fprintf(stderr, "no sentence: %s\n", verdict.text.c_str());
        std::abort();
    }
    return 0;
}
