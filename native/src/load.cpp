// From the bytes of a packed file to a checked graph.
#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <unordered_set>

#include "container.hpp"
#include "dims.hpp"
#include "environment.hpp"
#include "graph.hpp"
#include "infer.hpp"
#include "json.hpp"
#include "reuse.hpp"
#include "text.hpp"

namespace onebit {

namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t max_ports = 4096;
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

std::string_view text_of(const json::Value& value, std::string_view what) {
    if (!value.is(json::Kind::string)) fail(what, " must be a string");
    return value.string();
}

std::vector<json::Value> list_of(const json::Value& value, std::string_view what) {
    if (!value.is(json::Kind::array)) fail(what, " must be a list");
    return value.items();
}

// Inputs, outputs or states: what a run checks and moves each time is never many.
std::vector<json::Value> ports_of(const json::Value& value, std::string_view what) {
    if (value.is(json::Kind::array) && value.size() > max_ports) fail("a graph has at most ", max_ports, " ", what, ", got ", value.size());
    return list_of(value, what);
}

class Loader {
public:
    explicit Loader(std::span<const std::byte> file) : container_(read_container(file)), document_(container_.text, "the graph") {}

    Graph run() {
        read_keys();
        read_constants();
        read_inputs();
        read_states();
        for (const json::Value& node : list_of(*nodes_, "nodes")) read_node(node);
        read_outputs();
        read_meta();
        return std::move(graph_);
    }

private:
    void read_keys() {
        const json::Value root = document_.root();
        if (!root.is(json::Kind::object)) fail("the graph must be a JSON object");
        const auto members = root.members();
        // The version first: what else a later one has is not ours to judge.
        const auto format = std::find_if(members.begin(), members.end(), [](const auto& member) { return member.first == "format"; });
        if (format == members.end() || !format->second.is(json::Kind::integer)) fail("format must be an integer");
        check_format(format->second.integer());
        for (const auto& [key, value] : members) {
            if (key == "format") continue;
            if (key == "inputs") inputs_ = value;
            else if (key == "outputs") outputs_ = value;
            else if (key == "states") states_ = value;
            else if (key == "nodes") nodes_ = value;
            else if (key == "bits") bits_ = value;
            else if (key == "trits") trits_ = value;
            else if (key == "reuse") reuse_ = value;
            else if (key == "meta") meta_ = value;
            else fail("unknown key ", quoted(key), " of the graph");
        }
        if (!inputs_ || !outputs_ || !nodes_) fail("the graph needs inputs, outputs and nodes");
    }

    static void check_format(std::int64_t format) {
        if (format > 1) fail("it has format version ", format, ", this version of onebit reads 1: update onebit, or pack the network again with this version");
        if (format < 1) fail("format version ", format, " does not exist, 1 is the first");
    }

    int define(std::string_view name, Type type) {
        check_name(name);
        const int index = static_cast<int>(graph_.values.size());
        if (!names_.emplace(std::string(name), index).second) fail("the name ", quoted(name), " is defined twice");
        graph_.values.push_back({std::string(name), std::move(type), -1});
        return index;
    }

    int find(std::string_view name, std::string_view what) const {
        const auto found = names_.find(name);
        if (found == names_.end()) fail(what, " ", quoted(name), " is not defined before it is used");
        return found->second;
    }

    Dim read_dim(const json::Value& value) {
        if (value.is(json::Kind::string)) {
            Dim dim = parse_dim(value.string(), graph_.symbols, true);
            if (dim.symbols.size() > 1) fail("a dimension of an input has at most one symbol, got ", quoted(value.string()));
            return dim;
        }
        if (!value.is(json::Kind::integer) || value.integer() < 0 || value.integer() > max_size) {
            fail("a dimension must be an integer in 0..2^48 or a string");
        }
        return constant(value.integer());
    }

    // The true shapes of the tensors that are stored packed: `key` is bits, trits or reuse.
    static std::map<std::string_view, Shape> read_packed(const std::optional<json::Value>& packed, std::string_view key) {
        std::map<std::string_view, Shape> shapes;
        if (!packed) return shapes;
        if (!packed->is(json::Kind::object)) fail(key, " must be an object");
        for (const auto& [name, value] : packed->members()) {
            Shape shape;
            const auto items = list_of(value, cat("the shape of a tensor of ", key));
            if (items.size() > max_rank) fail("tensor ", quoted(name), " of ", key, " has ", items.size(), " axes, at most ", max_rank, " are allowed");
            for (const json::Value& item : items) {
                if (!item.is(json::Kind::integer) || item.integer() < 0 || item.integer() > max_size) {
                    fail("tensor ", quoted(name), " of ", key, ": its shape must hold integers in 0..2^48");
                }
                shape.push_back(item.integer());
            }
            shapes.emplace(name, std::move(shape));
        }
        return shapes;
    }

    void read_constants() {
        auto bits = read_packed(bits_, "bits"), trits = read_packed(trits_, "trits"), reuse = read_packed(reuse_, "reuse");
        check_apart(bits, "bits", trits, "trits");
        check_apart(bits, "bits", reuse, "reuse");
        check_apart(trits, "trits", reuse, "reuse");
        const auto held_bytes = [&](const Stored& stored) {
            const auto tree = reuse.find(stored.name);
            if (tree == reuse.end()) return stored.bytes.size();
            return with_place([&] { return cat("tensor ", quoted(stored.name)); }, [&] { return check_reuse(stored, tree->second); });
        };
        std::vector<std::size_t> held;
        std::size_t total = 0;
        for (const Stored& stored : container_.tensors) total += aligned(held.emplace_back(held_bytes(stored)));
        graph_.arena = std::shared_ptr<std::byte[]>(
            static_cast<std::byte*>(::operator new[](std::max(total, alignment), std::align_val_t(alignment))),
            [](std::byte* data) { ::operator delete[](data, std::align_val_t(alignment)); });
        std::memset(graph_.arena.get(), 0, std::max(total, alignment));
        std::size_t at = 0;
        for (std::size_t i = 0; i < container_.tensors.size(); at += aligned(held[i++])) {
            const Stored& stored = container_.tensors[i];
            with_place([&] { return cat("tensor ", quoted(stored.name)); }, [&] {
                if (const auto packed = bits.find(stored.name); packed != bits.end()) {
                    check_bits(stored, packed->second);
                    read_constant(stored, DType::bit, packed->second, at);
                    bits.erase(packed);
                } else if (const auto ternary = trits.find(stored.name); ternary != trits.end()) {
                    check_trits(stored, ternary->second);
                    read_constant(stored, DType::ternary, ternary->second, at);
                    trits.erase(ternary);
                } else if (const auto tree = reuse.find(stored.name); tree != reuse.end()) {
                    unpack_reuse(stored.bytes, tree->second, define_constant(stored.name, DType::bit, tree->second, at, held[i]));
                    trees_.insert(stored.name);
                    reuse.erase(tree);
                } else {
                    read_constant(stored, dtype_of_stored(stored), stored.shape, at);
                }
            });
        }
        if (!bits.empty()) fail("bits names ", quoted(bits.begin()->first), ", which is no tensor of the file");
        if (!trits.empty()) fail("trits names ", quoted(trits.begin()->first), ", which is no tensor of the file");
        if (!reuse.empty()) fail("reuse names ", quoted(reuse.begin()->first), ", which is no tensor of the file");
    }

    using Packed = std::map<std::string_view, Shape>;

    static void check_apart(const Packed& one, std::string_view name, const Packed& other, std::string_view other_name) {
        for (const auto& entry : other)
            if (one.contains(entry.first)) fail("tensor ", quoted(entry.first), " is in ", name, " and in ", other_name);
    }

    // Bytes of its plain bits.
    static std::size_t check_reuse(const Stored& stored, const Shape& shape) {
        if (stored.storage != Storage::u64 || stored.shape.size() != 1) {
            fail("bits as a tree must be stored as U64 with one axis, got ", storage_name(stored.storage), " ",
                 text(std::span<const std::int64_t>(stored.shape)));
        }
        return reuse_bytes(stored.shape[0], shape);
    }

    static DType dtype_of_stored(const Stored& stored) {
        switch (stored.storage) {
            case Storage::f32: return DType::f32;
            case Storage::i8: return DType::i8;
            case Storage::u8: return DType::u8;
            case Storage::i32: return DType::i32;
            case Storage::i64: return DType::i64;
            case Storage::boolean:
                for (const std::byte byte : stored.bytes) {
                    if (byte > std::byte{1}) fail("a truth value must be 0 or 1, got ", static_cast<int>(byte));
                }
                return DType::boolean;
            case Storage::u64: break;
        }
        fail("U64 is for packed bits only, and bits does not name it");
    }

    static void check_bits(const Stored& stored, const Shape& shape) {
        if (stored.storage != Storage::u64) fail("packed bits must be stored as U64, got ", storage_name(stored.storage));
        const std::int64_t count = element_count(shape);
        const std::int64_t words = count / 64 + (count % 64 != 0);
        if (stored.shape != Shape{words}) {
            fail(count, " bits must be stored as (", words, ") words, got ", text(std::span<const std::int64_t>(stored.shape)));
        }
        if (count % 64 == 0) return;
        std::uint64_t last = 0;
        std::memcpy(&last, stored.bytes.data() + stored.bytes.size() - sizeof last, sizeof last);
        if (last >> (count % 64) != 0) fail("the unused bits of the last word must be 0");
    }

    static void check_trits(const Stored& stored, const Shape& shape) {
        if (stored.storage != Storage::u8) fail("packed ternary numbers must be stored as U8, got ", storage_name(stored.storage));
        const std::int64_t count = element_count(shape);
        const std::int64_t bytes = count / trits_of_byte + (count % trits_of_byte != 0);
        if (stored.shape != Shape{bytes}) {
            fail(count, " ternary numbers must be stored as (", bytes, ") bytes, got ", text(std::span<const std::int64_t>(stored.shape)));
        }
        for (const std::byte byte : stored.bytes) {
            if (static_cast<int>(byte) >= trit_bytes) fail("a byte of five ternary numbers must be below ", trit_bytes, ", got ", static_cast<int>(byte));
        }
        if (count % trits_of_byte == 0) return;
        int most = 1;
        for (std::int64_t i = 0; i < count % trits_of_byte; ++i) most *= 3;
        if (static_cast<int>(stored.bytes.back()) >= most) fail("the unused digits of the last byte must be 0");
    }

    void read_constant(const Stored& stored, DType dtype, const Shape& shape, std::size_t at) {
        std::byte* data = define_constant(stored.name, dtype, shape, at, stored.bytes.size());
        if (!stored.bytes.empty()) std::memcpy(data, stored.bytes.data(), stored.bytes.size());
    }

    // A place for its bytes, which are zeros.
    std::byte* define_constant(std::string_view name, DType dtype, const Shape& shape, std::size_t at, std::size_t bytes) {
        Type type{dtype, {}};
        for (const std::int64_t size : shape) {
            if (size > max_size) fail("a dimension must be an integer in 0..2^48, got ", size);
            type.shape.push_back(constant(size));
        }
        const int value = define(name, std::move(type));
        graph_.values[static_cast<std::size_t>(value)].constant = static_cast<int>(graph_.constants.size());
        std::byte* data = graph_.arena.get() + at;
        graph_.constants.push_back({dtype, shape, data, bytes});
        return data;
    }

    void read_inputs() {
        for (const json::Value& input : ports_of(*inputs_, "inputs")) {
            const auto parts = list_of(input, "an input");
            if (parts.size() != 3) fail("an input must be [name, dtype, shape]");
            const std::string_view name = text_of(parts[0], "the name of an input");
            with_place([&] { return cat("input ", quoted(name)); }, [&] {
                const std::optional<DType> dtype = dtype_of(text_of(parts[1], "dtype"));
                if (!dtype) fail("unknown dtype ", quoted(parts[1].string()));
                if (*dtype == DType::ternary) fail("dtype ternary is for constants only");
                Type type{*dtype, {}};
                const auto dims = list_of(parts[2], "shape");
                if (dims.size() > max_rank) fail("it has ", dims.size(), " axes, at most ", max_rank, " are allowed");
                for (const json::Value& dim : dims) type.shape.push_back(read_dim(dim));
                graph_.inputs.push_back(define(name, std::move(type)));
            });
        }
    }

    // States are constants that a run replaces; what replaces them is known after the nodes.
    void read_states() {
        if (!states_) return;
        for (const json::Value& state : ports_of(*states_, "states")) {
            const auto parts = list_of(state, "a state");
            if (parts.size() != 2) fail("a state must be [name, name of what replaces it]");
            const std::string_view name = text_of(parts[0], "the name of a state");
            text_of(parts[1], "the name of what replaces a state");
            const int value = find(name, "state");
            if (graph_.values[static_cast<std::size_t>(value)].constant < 0) fail("state ", quoted(name), " must be a tensor of the file");
            if (graph_.values[static_cast<std::size_t>(value)].type.dtype == DType::ternary) fail("state ", quoted(name), " must not be in trits");
            if (trees_.contains(name)) fail("state ", quoted(name), " must not be in reuse");
            if (!state_values_.insert(value).second) fail("state ", quoted(name), " is listed twice");
            graph_.states.push_back({value, -1});
            graph_.values[static_cast<std::size_t>(value)].is_state = true;
        }
    }

    void read_node(const json::Value& node) {
        const std::size_t index = graph_.nodes.size();
        std::string_view kind = "?";
        with_place([&] { return cat("node ", index, " (", kind, ")"); }, [&] {
            const auto parts = list_of(node, "a node");
            if (parts.size() < 3 || parts.size() > 4) fail("a node must be [kind, inputs, outputs] or [kind, inputs, outputs, attributes]");
            const std::string_view name = text_of(parts[0], "the kind");
            const KindRule& rule = find_kind(name);
            kind = rule.name;
            Node result;
            result.kind = rule.name;
            for (const json::Value& input : list_of(parts[1], "inputs")) {
                result.inputs.push_back(find(text_of(input, "the name of an input"), "input"));
                expect_no_ternary(rule.name, result.inputs);
            }
            const json::Value* given = parts.size() == 4 ? &parts[3] : nullptr;
            if (given != nullptr && !given->is(json::Kind::object)) fail("attributes must be an object");
            read_attributes(rule, given, graph_.symbols, result);
            const auto outputs = list_of(parts[2], "outputs");
            if (outputs.size() != 1) fail("has one output, got ", outputs.size());
            Type type = infer(rule, inference(result));
            result.outputs.push_back(define(text_of(outputs[0], "the name of an output"), std::move(type)));
            graph_.nodes.push_back(std::move(result));
        });
    }

    // The newest input is no ternary constant, unless it is a weight or what a cast reads.
    void expect_no_ternary(std::string_view kind, const std::vector<int>& inputs) const {
        const Value& value = graph_.values[static_cast<std::size_t>(inputs.back())];
        const bool weight = (kind == "conv" || kind == "linear") && inputs.size() == 2;
        if (value.type.dtype == DType::ternary && !weight && !(kind == "cast" && inputs.size() == 1))
            fail("input ", quoted(value.name), " is ternary, which only weights are: cast it");
    }

    Inference inference(const Node& node) const {
        Inference of{node, {}, {}, graph_.symbols};
        for (const int input : node.inputs) {
            const Value& value = graph_.values[static_cast<std::size_t>(input)];
            const bool fixed = value.constant >= 0 && !state_values_.contains(input);
            of.inputs.push_back(&value.type);
            of.constants.push_back(fixed ? &graph_.constants[static_cast<std::size_t>(value.constant)] : nullptr);
        }
        return of;
    }

    void read_outputs() {
        for (const json::Value& output : ports_of(*outputs_, "outputs")) {
            graph_.outputs.push_back(find(text_of(output, "the name of an output"), "output"));
            const Value& value = graph_.values[static_cast<std::size_t>(graph_.outputs.back())];
            if (value.type.dtype == DType::ternary) fail("output ", quoted(value.name), " is ternary, which only weights are: cast it");
        }
        if (!states_) return;
        std::size_t i = 0;
        for (const json::Value& pair : states_->items()) {
            State& state = graph_.states[i++];
            state.replacement = find(pair.items()[1].string(), "state");
            const Value& before = graph_.values[static_cast<std::size_t>(state.value)];
            const Value& after = graph_.values[static_cast<std::size_t>(state.replacement)];
            if (before.type.dtype != after.type.dtype || before.type.shape != after.type.shape) {
                fail("state ", quoted(before.name), " is ", name(before.type.dtype), " ", text(before.type.shape, graph_.symbols), ", ",
                     quoted(after.name), " that replaces it is ", name(after.type.dtype), " ", text(after.type.shape, graph_.symbols));
            }
        }
    }

    void read_meta() {
        graph_.meta = "{}";
        if (!meta_) return;
        if (!meta_->is(json::Kind::object)) fail("meta must be an object");
        std::size_t channels[2] = {0, 0};
        for (const auto& [key, value] : meta_->members()) {
            if (key == "class_names") {
                for (const json::Value& name : list_of(value, "class_names")) text_of(name, "a class name");
            } else if (key == "mean" || key == "std") {
                const auto numbers = list_of(value, key);
                for (const json::Value& number : numbers) {
                    if (!number.is_number() || (key == "std" && !(number.number() > 0))) {
                        fail(key, " must hold ", key == "std" ? "numbers above 0" : "numbers");
                    }
                }
                channels[key == "std"] = numbers.size();
            } else if (key == "producer") {
                text_of(value, "producer");
            } else {
                fail("unknown key ", quoted(key), " of meta");
            }
        }
        if (channels[0] != channels[1]) fail("mean and std must have one entry a channel, got ", channels[0], " and ", channels[1]);
        graph_.meta = meta_->dump();
    }

    Container container_;
    json::Document document_;
    std::optional<json::Value> inputs_, outputs_, states_, nodes_, bits_, trits_, reuse_, meta_;
    std::map<std::string, int, std::less<>> names_;  // no hashes: names that collide would take the square of their number
    std::unordered_set<int> state_values_;
    std::set<std::string, std::less<>> trees_;  // constants that were stored as trees of differences
    Graph graph_;
};

}  // namespace

// Numbers of the file become floats here, denormal ones too, whatever mode the caller's thread is in.
Graph load_graph(std::span<const std::byte> file) {
    const FloatEnvironment environment;
    return Loader(file).run();
}

}  // namespace onebit
