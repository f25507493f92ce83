//! Median and quartiles of a series of figures.

/// The median of a series, and the quartiles around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// Computes them from at least one figure, with linear interpolation between neighbors.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self {
            lower: quantile(&figures, 0.25)?,
            median: quantile(&figures, 0.5)?,
            upper: quantile(&figures, 0.75)?,
        })
    }
}

fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let index = sorted.len().checked_sub(1)? as f64 * fraction;
    let below = *sorted.get(index.floor() as usize)?;
    let above = *sorted.get(index.ceil() as usize)?;
    Some(below + (above - below) * index.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_between_neighbors() {
        let check = |figures: &[f64], expected: Option<[f64; 3]>| {
            let expected = expected.map(|[lower, median, upper]| Quartiles {
                lower,
                median,
                upper,
            });
            assert_eq!(Quartiles::of(figures.to_vec()), expected, "{figures:?}");
        };
        check(&[], None);
        check(&[2.0], Some([2.0, 2.0, 2.0]));
        check(&[3.0, 1.0, 2.0], Some([1.5, 2.0, 2.5]));
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], Some([2.0, 3.0, 4.0]));
    }
}
