//! Medians and quartiles.

/// The middle half of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Spread {
    /// Of at least one figure; quartiles lie between neighbors where they fall between them.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self {
            lower: quantile(&figures, 0.25)?,
            median: quantile(&figures, 0.5)?,
            upper: quantile(&figures, 0.75)?,
        })
    }
}

fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = sorted.len().checked_sub(1)? as f64 * part;
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbors() {
        let check = |figures: &[f64], expected: Option<[f64; 3]>| {
            let expected = expected.map(|[lower, median, upper]| Spread {
                lower,
                median,
                upper,
            });
            assert_eq!(Spread::of(figures.to_vec()), expected, "{figures:?}");
        };
        check(&[], None);
        check(&[2.0], Some([2.0, 2.0, 2.0]));
        check(&[3.0, 1.0, 2.0], Some([1.5, 2.0, 2.5]));
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], Some([2.0, 3.0, 4.0]));
    }
}
