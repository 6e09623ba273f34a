// What happens to the sums of a register tile while they are in registers: most products are followed by a threshold, or by some of
// cast, ReLU, affine, sum with a tensor, PReLU, ReLU, store, sign, in that order. Part of kernel.inc.hpp.

namespace {

// The steps at the head of a program that are done in registers.
struct Head {
    enum class Form : std::uint8_t { sums, threshold, floats } form = Form::sums;
    int steps = 0;  // how many of them
    const Step *first_relu = nullptr, *affine = nullptr, *add = nullptr, *prelu = nullptr, *relu = nullptr, *store = nullptr, *sign = nullptr;
};

Head head_of(const Job& job, bool integers) {
    const Program& program = job.program;
    const Step* steps = program.steps;
    Head head;
    const auto next = [&](Op op, Operand operand = Operand::none) {
        const bool found = head.steps < program.count && steps[head.steps].op == op && steps[head.steps].operand == operand;
        return found ? &steps[head.steps++] : nullptr;
    };
    if (job.limits && program.count == 1 && steps[0].op == Op::threshold) {
        head.form = Head::Form::threshold;
        head.sign = next(Op::threshold);
        return head;
    }
    const bool cast = integers && next(Op::to_float) != nullptr;
    if (cast || !integers) head.first_relu = next(Op::relu);
    head.affine = next(Op::affine);
    if (integers && !cast && head.affine == nullptr) return {};
    head.add = next(Op::add, Operand::tensor);
    head.prelu = next(Op::prelu, Operand::channels);
    head.relu = next(Op::relu);
    head.store = next(Op::store);
    head.sign = next(Op::sign);
    head.form = Head::Form::floats;
    return head;
}

// One bit for each lane of NV vectors, as whole words; what stands beyond the last channel is 0.
template <int NV>
inline __attribute__((always_inline)) void save_bits(std::uint32_t* out, std::uint64_t bits) {
    out[0] = static_cast<std::uint32_t>(bits);
    if constexpr (NV * lanes > 32) out[1] = static_cast<std::uint32_t>(bits >> 32);
}

// From complete accumulators, `total(row, vector)`, to what the head of the program makes of them; or to sums in the tile.
template <class P, int R, int NV, class Total>
inline __attribute__((always_inline)) void finish(const Job& job, const Head& head, const Place& place, std::int64_t group,
                                                  std::int64_t pixel, Tile& tile, const Total& total) {
    static_assert(NV * lanes <= 64);
    const std::int64_t channels = job.program.channels, row_words = (channels + 31) / 32;
    const std::int64_t at = group * job.group_stride + place.channel - group * job.group_channels;
    const auto class_of = [&](int r) { return job.classes ? job.classes[pixel + r] * job.class_stride : 0; };
    const bool full = place.width == NV * lanes;

    if constexpr (P::arithmetic == Arithmetic::bits) {
        if (full && head.form == Head::Form::threshold) {
            std::uint32_t* bits = static_cast<std::uint32_t*>(head.sign->out) + place.row * row_words + place.channel / 32;
            const std::uint32_t* flips = job.flips + place.channel / 32;
            std::uint64_t flip = flips[0];
            if constexpr (NV * lanes > 32) flip |= static_cast<std::uint64_t>(flips[1]) << 32;
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const std::int32_t* limit = job.limits + class_of(r) + at;
                std::uint64_t set = 0;
#pragma GCC unroll 8
                for (int v = 0; v < NV; ++v)
                    set |= static_cast<std::uint64_t>(Isa::mask_ge(load(limit + v * lanes), total(r, v))) << (v * lanes);
                save_bits<NV>(bits + r * row_words, set ^ flip);
            }
            return;
        }
    }
    if (full && head.form == Head::Form::floats) {
        const std::int64_t first = place.row * channels + place.channel;
        const float* scale = head.affine ? static_cast<const float*>(head.affine->first) + place.channel : nullptr;
        const float* shift = head.affine ? static_cast<const float*>(head.affine->second) + place.channel : nullptr;
        const float* other = head.add ? static_cast<const float*>(head.add->first) + first : nullptr;
        const float* slope = head.prelu ? static_cast<const float*>(head.prelu->first) + place.channel : nullptr;
        float* out = head.store ? static_cast<float*>(head.store->out) + first : nullptr;
        std::uint32_t* bits = head.sign ? static_cast<std::uint32_t*>(head.sign->out) + place.row * row_words + place.channel / 32 : nullptr;
        const bool rest = head.steps < job.program.count;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const std::int64_t base = class_of(r) + at;
            std::uint64_t set = 0;
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) {
                const I sum = P::sum(total(r, v), job.bases, base + v * lanes);
                F x = P::arithmetic == Arithmetic::floats ? (F)sum : __builtin_convertvector(sum, F);
                if (head.first_relu) x = greater(x, F{});
                if (scale) x = x * load(scale + v * lanes) + load(shift + v * lanes);
                if (other) {
                    const F y = load(other + r * channels + v * lanes);
                    x = head.add->reversed ? y + x : x + y;
                }
                if (slope) x = select(x > F{}, x, x * load(slope + v * lanes));
                if (head.relu) x = greater(x, F{});
                if (out) save(out + r * channels + v * lanes, x);
                if (bits) set |= static_cast<std::uint64_t>(Isa::mask_ge(x, F{})) << (v * lanes);
                if (rest) tile.at[r * tile_vectors + v] = (I)x;
            }
            if (bits) save_bits<NV>(bits + r * row_words, set);
        }
        if (rest) apply(job.program, head.steps, place, tile);
        return;
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        const std::int64_t base = class_of(r) + at;
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) tile.at[r * tile_vectors + v] = P::sum(total(r, v), job.bases, base + v * lanes);
    }
    apply(job.program, 0, place, tile);
}

// R consecutive pixels of one image times NV vectors of output channels.
template <class P, int R, int NV>
void multiply(const Job& job, const Head& head, const Place& place, std::int64_t group, const std::uint32_t* weights,
              const std::byte* image, std::int64_t pixel, Tile& tile) {
    typename P::Acc acc[R][NV] = {};
    accumulate<P, R, NV>(acc, job, weights, image, pixel, tile);
    finish<P, R, NV>(job, head, place, group, pixel, tile, [&](int r, int v) __attribute__((always_inline)) {
        const I last = P::last(acc[r][v]);
        if constexpr (P::limit != 0)
            return tile.at[r * tile_vectors + v] + last;
        else
            return last;
    });
}

template <class P, int NV, int R = Isa::rows(P::arithmetic)>
inline void multiply_rows(const Job& job, const Head& head, const Place& place, std::int64_t group, const std::uint32_t* weights,
                          const std::byte* image, std::int64_t pixel, Tile& tile) {
    if (place.rows == R) return multiply<P, R, NV>(job, head, place, group, weights, image, pixel, tile);
    if constexpr (R > 1) return multiply_rows<P, NV, R - 1>(job, head, place, group, weights, image, pixel, tile);
}

}  // namespace
