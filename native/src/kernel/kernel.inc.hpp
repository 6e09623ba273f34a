// The micro-kernel, written once. A translation unit defines `struct Isa` in an anonymous namespace and includes this file:
//   bytes, vectors             of a vector, of a tile
//   rows(Arithmetic)           of the register tile
//   limit                      steps before `count` would overflow its bytes; 0: `count` counts whole lanes
//   count(U)                   set bits, per byte or per lane
//   differ(U, U, U), carry(U ones, U odd, U sum)   perhaps: exclusive or of three; the digit of weight 2, see Halved
//   integers                   bytes or pairs
//   add_products(I, U w, U x)  w and x as int16 pairs, or x as four uint8 and w as four int8: multiplied, all added
//   mask_ge(F, F), mask_ge(I, I)   one bit a lane, what stands above is 0
// Everything here has internal linkage and uses no standard library, so that the linker cannot merge code built for a newer
// processor into the portable path.

#include "kernel.hpp"

namespace {

using namespace onebit::kernel;

constexpr int lanes = Isa::bytes / 4;
constexpr int tile_vectors = Isa::vectors;
constexpr int tile_width = lanes * tile_vectors;
constexpr int max_rows = 8;

typedef U UnalignedU __attribute__((aligned(4), may_alias));
typedef F UnalignedF __attribute__((aligned(4), may_alias));
typedef I UnalignedI __attribute__((aligned(4), may_alias));
typedef std::int8_t Bytes __attribute__((vector_size(lanes)));

inline U load(const std::uint32_t* p) { return *reinterpret_cast<const UnalignedU*>(p); }
inline F load(const float* p) { return *reinterpret_cast<const UnalignedF*>(p); }
inline I load(const std::int32_t* p) { return *reinterpret_cast<const UnalignedI*>(p); }
inline void save(float* p, F x) { *reinterpret_cast<UnalignedF*>(p) = x; }
inline void save(std::int32_t* p, I x) { *reinterpret_cast<UnalignedI*>(p) = x; }

struct Span {
    std::int64_t begin, end;
};

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline F broadcast(float x) { return x - F{}; }
inline U broadcast(std::uint32_t x) { return x - U{}; }
inline I broadcast(std::int32_t x) { return x - I{}; }

template <class V, class T>
inline V load_some(const T* p, std::int64_t n) {
    if (n >= lanes) return load(p);
    V x = {};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    return x;
}

template <class V, class T>
inline void save_some(T* p, V x, std::int64_t n) {
    if (n >= lanes) {
        save(p, x);
        return;
    }
    for (int i = 0; i < n; ++i) p[i] = x[i];
}

// The tile that a register tile is written to: rows of tile_vectors vectors, float32 or int32.
struct alignas(64) Tile {
    I at[max_rows * tile_vectors];
};

}  // namespace

#include "product.inc.hpp"
#include "pointwise.inc.hpp"
#include "finish.inc.hpp"
#include "pool.inc.hpp"

namespace {

inline int vectors_for(std::int64_t width) {
    if (width <= tile_width / 4) return tile_vectors / 4;
    return width <= tile_width / 2 ? tile_vectors / 2 : tile_vectors;
}

template <class P>
std::int64_t items_of(const Job& job) {
    constexpr int most = Isa::rows(P::arithmetic);
    return job.groups * divide_up(job.group_channels, tile_width) * job.images * divide_up(job.pixels, most);
}

template <class P>
void run_job(const Job& job, std::int64_t begin, std::int64_t end) {
    constexpr int most = Isa::rows(P::arithmetic);
    const std::int64_t blocks = divide_up(job.pixels, most);
    const std::int64_t tiles = divide_up(job.group_channels, tile_width);
    const Head head = head_of(job, P::arithmetic != Arithmetic::floats);
    Tile tile;
    while (begin < end) {  // all that one tile of output channels does with one image
        const std::int64_t image = begin / blocks % job.images, column = begin / blocks / job.images;
        const std::int64_t t = column % tiles, group = column / tiles;
        std::int64_t block = begin % blocks;
        const std::int64_t last_block = blocks - block < end - begin ? blocks : block + (end - begin);
        begin += last_block - block;

        const std::int64_t channel = t * tile_width;
        const std::int64_t left = job.group_channels - channel;
        Place place;
        place.channel = group * job.group_channels + channel;
        place.width = left < tile_width ? left : tile_width;
        place.vectors = vectors_for(place.width);
        const std::uint32_t* weights = job.weights + group * job.group_weights + channel * job.taps * job.words;
        const std::byte* image_at = job.input + image * job.image_bytes + group * job.group_bytes;
        std::int64_t first = block * job.pixels / blocks;
        for (; block < last_block; ++block) {
            const std::int64_t next = (block + 1) * job.pixels / blocks;
            place.row = image * job.pixels + first;
            place.rows = static_cast<int>(next - first);
            if (place.vectors == tile_vectors)
                multiply_rows<P, tile_vectors>(job, head, place, group, weights, image_at, first, tile);
            else if (place.vectors == tile_vectors / 2)
                multiply_rows<P, tile_vectors / 2>(job, head, place, group, weights, image_at, first, tile);
            else
                multiply_rows<P, tile_vectors / 4>(job, head, place, group, weights, image_at, first, tile);
            first = next;
        }
    }
}

std::int64_t items(const Job& job, Arithmetic arithmetic) {
    switch (arithmetic) {
        case Arithmetic::bits: return items_of<Counting<Isa>::type>(job);
        case Arithmetic::bytes:
        case Arithmetic::pairs: return items_of<Integers>(job);
        default: return items_of<Floats>(job);
    }
}

void run(const Job& job, Arithmetic arithmetic, std::int64_t begin, std::int64_t end) {
    switch (arithmetic) {
        case Arithmetic::bits: return run_job<Counting<Isa>::type>(job, begin, end);
        case Arithmetic::bytes:
        case Arithmetic::pairs: return run_job<Integers>(job, begin, end);
        default: return run_job<Floats>(job, begin, end);
    }
}

constexpr int pointwise_rows = 4;

std::int64_t pointwise_items(const Program& program, std::int64_t rows) {
    return divide_up(rows, pointwise_rows) * divide_up(program.channels, tile_width);
}

void pointwise(const Program& program, std::int64_t rows, std::int64_t begin, std::int64_t end) {
    const std::int64_t tiles = divide_up(program.channels, tile_width);
    Tile tile;
    for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t row = item / tiles * pointwise_rows, channel = item % tiles * tile_width;
        const std::int64_t left = program.channels - channel;
        Place place;
        place.row = row;
        place.rows = static_cast<int>(rows - row < pointwise_rows ? rows - row : pointwise_rows);
        place.channel = channel;
        place.width = left < tile_width ? left : tile_width;
        place.vectors = static_cast<int>(divide_up(place.width, lanes));
        apply(program, 0, place, tile);
    }
}

}  // namespace

#include "depthwise.inc.hpp"
#include "lowbit.inc.hpp"
#include "read.inc.hpp"

namespace {

constexpr Table table = {lanes,     tile_vectors, Isa::integers,   items,     run,    pointwise_items,
                         pointwise, pool,         depthwise_items, depthwise, lowbit, read_words};

}  // namespace
